#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_testkit::tokens::{KeyServer, Signer, key_set};

use super::*;

fn keys_at(url: &str) -> Arc<Keys> {
    Arc::new(Keys::new(KeyOrigin::Url(url.parse().unwrap())))
}

fn keys_of(server: &KeyServer) -> Arc<Keys> {
    keys_at(&server.url())
}

fn known() -> Arc<KeySet> {
    let set = KeySet::parse(key_set(&[&Signer::es256("1")]).into_bytes());
    Arc::new(set.unwrap())
}

/// An issuer that never answers, and its keys.
fn silent_issuer() -> (tokio::net::TcpListener, Arc<Keys>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    (listener, keys_at(&url))
}

/// Fails if the issuer was asked again.
fn is_left_alone(issuer: tokio::net::TcpListener) {
    let again = issuer.into_std().unwrap().accept();
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

fn holds(keys: &Keys, id: &str) -> bool {
    keys.present()
        .is_some_and(|set| set.named(Some(id)).next().is_some())
}

#[tokio::test]
async fn an_unknown_key_id_loads_the_keys_once_within_the_cooldown() {
    let (first, second) = (Signer::es256("1"), Signer::es256("2"));
    let server = KeyServer::start(&key_set(&[&first]));
    let keys = keys_of(&server);
    keys.load().await;
    let before = keys.present().unwrap();
    server.serve(Some(&key_set(&[&second])));
    let newer = keys.newer_than(&before).await.unwrap();
    assert!(holds(&keys, "2") && !holds(&keys, "1"));
    // Who asks with the former keys gets the newer ones; who asks with the newest, none.
    assert!(Arc::ptr_eq(
        &keys.newer_than(&before).await.unwrap(),
        &newer
    ));
    for _ in 0..100 {
        assert!(keys.newer_than(&newer).await.is_none());
    }
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn the_cooldown_begins_with_the_end_of_a_load() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let keys = keys_at(&url);
    let issuer = std::thread::spawn(move || {
        let asked = listener.accept().unwrap();
        let broke_off = Instant::now();
        drop(asked);
        broke_off
    });
    assert!(keys.newer_than(&known()).await.is_none());
    let began = keys.loads.borrow().cooling.unwrap();
    assert!(began >= issuer.join().unwrap());
}

#[tokio::test]
async fn a_request_waits_a_few_seconds_at_most_for_an_issuer_that_never_answers() {
    let (issuer, keys) = silent_issuer();
    let (known, began) = (known(), Instant::now());
    let (newer, asked) = tokio::join!(keys.newer_than(&known), issuer.accept());
    assert!(newer.is_none());
    assert!(
        (WAIT..WAIT * 2).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    // The load goes on, and others wait for it as long.
    assert!(keys.loads.borrow().is_loading);
    drop(asked);
    keys.ended().await;
    let trouble = keys.missing().unwrap();
    assert!(trouble.contains("broke off"), "{trouble}");
    assert!(keys.newer_than(&known).await.is_none());
    is_left_alone(issuer);
}

#[tokio::test]
async fn a_request_waits_for_the_load_in_flight_and_for_no_other() {
    let (issuer, keys) = silent_issuer();
    let regular = tokio::spawn({
        let keys = keys.clone();
        async move { keys.load().await }
    });
    let asked = issuer.accept().await.unwrap();
    let known = known();
    // The request waits before the issuer breaks off.
    let (newer, ()) = tokio::join!(keys.newer_than(&known), async { drop(asked) });
    assert!(newer.is_none());
    regular.await.unwrap();
    assert!(keys.newer_than(&known).await.is_none());
    is_left_alone(issuer);
}

#[tokio::test]
async fn the_last_keys_stay_while_there_are_no_newer_ones() {
    let signer = Signer::es256("1");
    let set = key_set(&[&signer]);
    let server = KeyServer::start(&set);
    let keys = keys_of(&server);
    assert!(keys.missing().is_some() && keys.present().is_none());
    for broken in [None, Some("not found"), Some("{\"keys\": []}")] {
        server.serve(broken);
        keys.load().await;
        let missing = keys.missing().unwrap();
        assert!(missing.contains(&server.url()), "{missing}");
    }
    server.serve(Some(&set));
    keys.load().await;
    assert_eq!(keys.missing(), None);
    let before = keys.present().unwrap();
    for broken in [None, Some("not found"), Some("{\"keys\": []}"), Some(&*set)] {
        server.serve(broken);
        keys.load().await;
        assert!(Arc::ptr_eq(&keys.present().unwrap(), &before), "{broken:?}");
        assert_eq!(keys.missing(), None);
    }
    let url = server.url();
    drop(server);
    keys.load().await;
    assert!(holds(&keys, "1"), "{url} is down");
}

#[tokio::test]
async fn keys_in_a_file_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    std::fs::write(&path, key_set(&[&Signer::es256("1")])).unwrap();
    let keys = Arc::new(Keys::new(KeyOrigin::File(path.clone())));
    keys.load().await;
    assert!(holds(&keys, "1"));
    std::fs::write(&path, key_set(&[&Signer::es256("2")])).unwrap();
    keys.load().await;
    assert!(holds(&keys, "2") && !holds(&keys, "1"));
    std::fs::remove_file(&path).unwrap();
    keys.load().await;
    assert!(holds(&keys, "2"));
}
