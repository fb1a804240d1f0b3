//! TLS of the listeners: what is agreed on, whose certificate is shown, bad files, and a certificate that is renewed.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hyper_util::rt::TokioIo;

use crate::clients::{
    Authority, agreed, ask, ask_http1, held, http2_on, read, request, run, tls, write,
};
use crate::expect::{connect, rest};
use crate::support::{Host, Start, signal};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

/// Exit code for bad settings.
const USAGE: Option<i32> = Some(64);

fn start(data: &Path, section: &str, pair: &(String, String)) -> Start {
    let [certificate, key] = write(data, "listener", pair);
    Start::new(&["customer", "order"], data)
        .setting(&format!("{section}.tls.certificate"), certificate.display())
        .setting(&format!("{section}.tls.key"), key.display())
}

/// The certificate that is shown there to who trusts these.
async fn shown(url: &str, authorities: &[&Authority]) -> Vec<u8> {
    agreed(&tls(url, authorities, &["h2"]).await.unwrap()).1
}

fn registers(host: &Host, authority: &Authority) {
    let url = format!("{}/customers", host.url("customer"));
    let (status, body) = run(async {
        let stream = tls(&url, &[authority], &[]).await.unwrap();
        ask_http1(TokioIo::new(stream), "POST", &url, CUSTOMER)
            .await
            .unwrap()
    });
    assert_eq!(status, 201, "{body}");
}

#[test]
fn a_client_agrees_on_http2_or_http1_over_tls() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let host = start(data.path(), "http", &authority.sign(2400)).start();
    let url = host.url("customer");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let customers = format!("{url}/customers");
    run(async {
        for offered in [&["h2", "http/1.1"][..], &["h2"]] {
            let stream = tls(url, &[&authority], offered).await.unwrap();
            assert_eq!(agreed(&stream).0, Some(&b"h2"[..]));
            let (mut client, _) = http2_on(TokioIo::new(stream)).await;
            assert_eq!(ask(&mut client, "POST", &customers, CUSTOMER).await.0, 201);
        }
        for (offered, agreed_on) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let stream = tls(url, &[&authority], offered).await.unwrap();
            assert_eq!(agreed(&stream).0, agreed_on);
            let answer = ask_http1(TokioIo::new(stream), "POST", &customers, CUSTOMER).await;
            assert_eq!(answer.unwrap().0, 201);
        }
        tls(url, &[&authority], &["spdy/3"]).await.unwrap_err();
        tls(url, &[&Authority::new()], &["h2"]).await.unwrap_err();
    });
    // Who asks without TLS is not answered, and holds nobody up; no more does who says nothing.
    let silent: Vec<_> = (0..20).map(|_| connect(url)).collect();
    let mut plain = connect(url);
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let answer = rest(plain);
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    registers(&host, &authority);
    assert_eq!(host.stop().code(), Some(0));
    drop(silent);
}

#[test]
fn a_participant_may_have_a_certificate_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let own = data.path().join("own");
    std::fs::create_dir(&own).unwrap();
    let [certificate, key] = write(&own, "order", &theirs.sign(2400));
    let host = start(data.path(), "http", &ours.sign(2400))
        .setting("participants.order.tls.certificate", certificate.display())
        .setting("participants.order.tls.key", key.display())
        .start();
    run(async {
        shown(host.url("customer"), &[&ours]).await;
        shown(host.url("order"), &[&theirs]).await;
        tls(host.url("order"), &[&ours], &["h2"]).await.unwrap_err();
    });
    assert!(host.stop().success());
    // One that has one alone speaks TLS alone.
    let host = start(data.path(), "participants.order", &theirs.sign(2400)).start();
    assert!(host.url("order").starts_with("https://"));
    assert!(host.url("customer").starts_with("http://"));
    assert_eq!(
        host.send("customer", "POST", "/customers", CUSTOMER).status,
        201
    );
}

#[test]
fn all_unusable_files_are_listed_at_once() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.sign(2400);
    let secret = key.lines().nth(1).unwrap();
    // The files of one listener are missing or swapped; the key of the other is another's.
    let [of_order, _] = write(data.path(), "order", &authority.sign(2400));
    let (status, said) = start(data.path(), "http", &(key.clone(), certificate))
        .setting("participants.order.tls.certificate", of_order.display())
        .setting(
            "participants.order.tls.key",
            data.path().join("listener-chain.pem").display(),
        )
        .setting("participants.customer.tls.certificate", "/none/such.pem")
        .fail();
    assert_eq!(status.code(), USAGE, "{said}");
    for expected in [
        "http.tls.certificate: ",
        "listener-chain.pem holds no certificate in PEM form",
        "http.tls.key: ",
        "listener-key.pem holds no key in PEM form",
        "participants.order.tls.key: ",
        "is not the key of the certificate in",
        "participants.customer.tls.key: is missing",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert!(!said.contains(secret), "{said}");
    assert!(!data.path().join("log.txt").exists(), "nothing was started");
}

#[test]
fn an_expired_certificate_is_reported_and_used() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let host = start(data.path(), "http", &authority.sign(2021)).start();
    host.log_until("the certificate has expired (");
    run(async {
        let refused = tls(host.url("customer"), &[&authority], &["h2"])
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("expired"), "{refused}");
    });
}

#[test]
fn a_certificate_is_renewed_under_load_and_no_request_fails() {
    let data = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    let host = start(data.path(), "http", &first.sign(2400)).start();
    let url = host.url("customer").to_owned();
    let customers = format!("{url}/customers");
    let is_over = AtomicBool::new(false);
    let renew = async {
        let before = shown(&url, &[&first]).await;
        write(data.path(), "listener", &second.sign(2400));
        signal(host.id(), "HUP");
        let after = loop {
            let now = shown(&url, &[&first, &second]).await;
            if now != before {
                break now;
            }
        };
        // A new one that can't be used changes nothing.
        std::fs::write(data.path().join("listener-key.pem"), "no key").unwrap();
        signal(host.id(), "HUP");
        while !host.log().contains("the previous certificate stays in use") {
            tokio::task::yield_now().await;
        }
        assert_eq!(shown(&url, &[&first, &second]).await, after);
        is_over.store(true, Ordering::Relaxed);
    };
    // One client stays on its connection, two make a new one for each request.
    let stay = async {
        let stream = tls(&url, &[&first], &["h2"]).await.unwrap();
        let (mut client, _) = http2_on(TokioIo::new(stream)).await;
        let mut asked = 0;
        while !is_over.load(Ordering::Relaxed) {
            assert_eq!(ask(&mut client, "POST", &customers, CUSTOMER).await.0, 201);
            asked += 1;
        }
        asked
    };
    let come_and_go = async || {
        let mut asked = 0;
        while !is_over.load(Ordering::Relaxed) {
            let stream = tls(&url, &[&first, &second], &["http/1.1"]).await.unwrap();
            let answer = ask_http1(TokioIo::new(stream), "POST", &customers, CUSTOMER).await;
            assert_eq!(answer.unwrap().0, 201);
            asked += 1;
        }
        asked
    };
    let asked = run(async {
        let ((), a, b, c) = tokio::join!(renew, stay, come_and_go(), come_and_go());
        [a, b, c]
    });
    assert!(asked.iter().all(|asked| *asked > 0), "{asked:?}");
    assert!(host.stop().success());
}

#[test]
fn the_drain_answers_requests_in_flight_over_tls() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let host = start(data.path(), "http", &authority.sign(2400))
        .setting("drain_seconds", 600)
        .start();
    let url = format!("{}/customers", host.url("customer"));
    run(async {
        let stream = tls(&url, &[&authority], &["h2"]).await.unwrap();
        let (mut client, connection) = http2_on(TokioIo::new(stream)).await;
        let (give, body) = held();
        let answer = tokio::spawn(client.send_request(request("POST", &url, body)));
        give.send(Bytes::from_static(b"{")).await.unwrap();
        let customer = format!("{}/customer/1", host.url("customer"));
        assert_eq!(ask(&mut client, "GET", &customer, "").await.0, 404);
        signal(host.id(), "TERM");
        host.log_until("draining");
        give.send(CUSTOMER[1..].into()).await.unwrap();
        drop(give);
        assert_eq!(read(answer.await.unwrap().unwrap()).await.0, 201);
        connection.await.unwrap().unwrap();
    });
    assert_eq!(host.wait().code(), Some(0), "well within 600 s");
}
