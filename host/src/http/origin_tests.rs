#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn head(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Parts {
    let mut request = hyper::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn hosts(names: &[&str], address: &str) -> ServedHosts {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    ServedHosts::new(&names, address.parse().unwrap())
}

fn status(checked: Result<(), Problem>) -> u16 {
    checked.map_or_else(|problem| problem.status, |()| 200)
}

#[test]
fn a_listener_on_loopback_serves_its_names_and_those_configured() {
    let plain = hosts(&[], "127.0.0.1");
    let named = hosts(&["Shop.example"], "::1");
    for (host, unnamed, configured) in [
        ("localhost", 200, 200),
        ("LocalHost:9000", 200, 200),
        ("localhost.", 200, 200),
        ("Shop.localhost:9000", 200, 200),
        ("127.8.0.1:9000", 200, 200),
        ("[::1]:9000", 200, 200),
        ("[::ffff:127.0.0.1]", 200, 200),
        ("shop.example", 403, 200),
        ("SHOP.example:8081", 403, 200),
        ("shop.example.", 403, 200),
        (".", 403, 403),
        ("evillocalhost", 403, 403),
        ("evil.example", 403, 403),
        ("localhost.evil.example", 403, 403),
        ("127.0.0.1.evil.example", 403, 403),
        ("192.168.0.1", 403, 403),
        ("0.0.0.0:1", 403, 403),
        ("[::ffff:1.2.3.4]", 403, 403),
        ("", 400, 400),
        ("user@localhost", 400, 400),
        ("a b", 400, 400),
        ("localhost:x", 400, 400),
        ("[::1", 400, 400),
        ("localhost, evil.example", 400, 400),
    ] {
        let head = head("GET", "/", &[("host", host)]);
        assert_eq!(status(check_target(&head, &plain)), unnamed, "{host}");
        assert_eq!(status(check_target(&head, &named)), configured, "{host}");
    }
}

#[test]
fn another_listener_serves_all_names_unless_some_are_configured() {
    let any = hosts(&[], "0.0.0.0");
    let named = hosts(&["shop.example"], "10.0.0.1");
    let all = hosts(&["*"], "127.0.0.1");
    for (host, configured) in [
        ("shop.example", 200),
        ("localhost", 200),
        ("10.0.0.1:8081", 200),
        ("[fd00::1]", 200),
        ("evil.example", 403),
    ] {
        let head = head("GET", "/", &[("host", host)]);
        assert_eq!(status(check_target(&head, &any)), 200, "{host}");
        assert_eq!(status(check_target(&head, &all)), 200, "{host}");
        assert_eq!(status(check_target(&head, &named)), configured, "{host}");
    }
}

#[test]
fn a_request_names_one_host() {
    let local = hosts(&[], "127.0.0.1");
    let check = |version, uri, headers: &[(&'static str, &str)]| {
        let mut head = head("GET", uri, headers);
        head.version = version;
        status(check_target(&head, &local))
    };
    let twice = [("host", "localhost"), ("host", "localhost")];
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(check(version, "/", &twice), 400, "{version:?}");
    }
    assert_eq!(check(Version::HTTP_10, "/", &[]), 200);
    assert_eq!(check(Version::HTTP_11, "/", &[]), 400);
    assert_eq!(check(Version::HTTP_11, "http://localhost/", &[]), 400);
    assert_eq!(check(Version::HTTP_2, "/", &[]), 400);
    assert_eq!(check(Version::HTTP_2, "http://localhost/", &[]), 200);
    assert_eq!(check(Version::HTTP_2, "http://evil.example/", &[]), 403);
    let mixed = [("host", "localhost")];
    let elsewhere = "http://evil.example/";
    assert_eq!(check(Version::HTTP_11, elsewhere, &mixed), 403);
}

#[test]
fn an_address_has_a_bound() {
    let local = hosts(&[], "127.0.0.1");
    for (length, expected) in [(TARGET_BYTES, 200), (TARGET_BYTES + 1, 414)] {
        let path = format!("/{}", "a".repeat(length - 1));
        let head = head("GET", &path, &[("host", "localhost")]);
        assert_eq!(status(check_target(&head, &local)), expected);
    }
}

#[test]
fn pages_of_other_origins_may_send_no_commands_unless_they_are_listed() {
    let off = Cors::new(&[]);
    let listed = Cors::new(&["https://shop.example".to_owned()]);
    let any = Cors::new(&["*".to_owned()]);
    for (headers, by_default, where_listed) in [
        (vec![], 200, 200),
        (vec![("origin", "http://localhost:8081")], 200, 200),
        (vec![("origin", "http://LOCALHOST:8081")], 200, 200),
        (vec![("origin", "https://shop.example")], 403, 200),
        (vec![("origin", "http://localhost:9")], 403, 403),
        (vec![("origin", "http://localhost")], 403, 403),
        (vec![("origin", "null")], 403, 403),
        (vec![("origin", "")], 403, 403),
        (vec![("sec-fetch-site", "same-origin")], 200, 200),
        (vec![("sec-fetch-site", "none")], 200, 200),
        (vec![("sec-fetch-site", "same-site")], 403, 403),
        (vec![("sec-fetch-site", "cross-site")], 403, 403),
        (
            vec![
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://shop.example"),
            ],
            403,
            200,
        ),
        (
            vec![
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://localhost:8081"),
            ],
            403,
            403,
        ),
        (
            // A proxy has changed the host; the page's browser knows better.
            vec![
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://proxy.example"),
            ],
            200,
            200,
        ),
    ] {
        let with_host: Vec<_> = [("host", "localhost:8081")]
            .into_iter()
            .chain(headers)
            .collect();
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let head = head(method, "/", &with_host);
            assert_eq!(status(check_page(&head, &off)), by_default, "{head:?}");
            assert_eq!(status(check_page(&head, &listed)), where_listed, "{head:?}");
        }
        let read = head("GET", "/", &with_host);
        assert_eq!(status(check_page(&read, &off)), 200, "{read:?}");
    }
    let page = [("host", "a"), ("origin", "https://any.example")];
    assert_eq!(status(check_page(&head("POST", "/", &page), &any)), 200);
}

#[test]
fn a_post_without_a_body_shows_that_no_form_sent_it() {
    let off = Cors::new(&[]);
    for (header, expected) in [
        (("user-agent", "curl"), false),
        (("accept", "application/json"), false),
        (("content-type", "text/plain"), false),
        (("content-type", "application/json"), true),
        (("content-type", "Application/vnd.shop+JSON; a=b"), true),
        (("idempotency-key", "k"), true),
        (("sec-fetch-site", "same-origin"), true),
        (("origin", "http://localhost"), true),
        (("origin", "http://evil.example"), false),
    ] {
        let head = head("POST", "/", &[("host", "localhost"), header]);
        assert_eq!(is_deliberate(&head, &off), expected, "{header:?}");
    }
    let twice = [
        ("content-type", "application/json"),
        ("content-type", "text/plain"),
    ];
    assert!(!is_json(&head("POST", "/", &twice).headers));
}

#[test]
fn only_hosts_can_be_configured() {
    for right in ["*", "shop.example", "10.0.0.1", "[::1]", "a_b"] {
        assert_eq!(check_host(right), Ok(()), "{right}");
    }
    for wrong in [
        "",
        "shop.example:80",
        "http://shop.example",
        "a/b",
        "*.example",
        "::1",
    ] {
        assert!(check_host(wrong).is_err(), "{wrong}");
    }
}
