#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_testkit::tokens::{KeyServer, Signer, key_set};

use super::*;

fn keys_of(server: &KeyServer) -> Keys {
    Keys::new(Origin::Url(server.url().parse().unwrap()))
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
    let keys = Keys::new(Origin::Url(url.parse().unwrap()));
    let known = KeySet::parse(key_set(&[&Signer::es256("1")]).into_bytes()).unwrap();
    let issuer = std::thread::spawn(move || {
        let asked = listener.accept().unwrap();
        let broke_off = Instant::now();
        drop(asked);
        broke_off
    });
    assert!(keys.newer_than(&Arc::new(known)).await.is_none());
    let began = keys.loading.lock().await.unwrap();
    assert!(began >= issuer.join().unwrap());
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
    let keys = Keys::new(Origin::File(path.clone()));
    keys.load().await;
    assert!(holds(&keys, "1"));
    std::fs::write(&path, key_set(&[&Signer::es256("2")])).unwrap();
    keys.load().await;
    assert!(holds(&keys, "2") && !holds(&keys, "1"));
    std::fs::remove_file(&path).unwrap();
    keys.load().await;
    assert!(holds(&keys, "2"));
}
