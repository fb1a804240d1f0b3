#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_testkit::tokens::{Signer, key_set};
use serde_json::json;

use super::*;

fn algorithms(set: &KeySet) -> Vec<Vec<Algorithm>> {
    set.keys.iter().map(|key| key.algorithms.clone()).collect()
}

#[test]
fn a_set_has_the_keys_that_check_signatures() {
    let (p256, p384, edwards) = (Signer::es256("a"), Signer::es384("b"), Signer::eddsa("c"));
    let text = key_set(&[&p256, &p384, &edwards]);
    let set = KeySet::parse(text.into_bytes()).unwrap();
    assert_eq!(
        algorithms(&set),
        [[Algorithm::ES256], [Algorithm::ES384], [Algorithm::EdDSA]]
    );
    let named = |id| set.named(id).map(|key| key.id.clone().unwrap());
    assert_eq!(named(Some("b")).collect::<Vec<_>>(), ["b"]);
    assert_eq!(named(Some("d")).count(), 0);
    assert_eq!(named(None).count(), 3);
}

#[test]
fn keys_for_other_purposes_are_left_out() {
    let jwk = Signer::es256("a").jwk();
    let with = |member: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[member] = value;
        jwk
    };
    let others = [
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("ECDH-ES")),
        with("alg", json!("HS256")),
        with("alg", json!("RS256")),
        with("crv", json!("P-521")),
        with("x", json!("not base64!")),
        with("kty", json!("oct")),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
        json!({"kty": "RSA", "n": "u1SU1LfVLPHCozMxH2Mo", "e": "AQAB"}),
        json!(7),
        json!({"kty": "OKP", "crv": "X25519", "x": "c2VjcmV0"}),
    ];
    for other in others {
        let text = json!({"keys": [other]}).to_string();
        let refused = KeySet::parse(text.into_bytes()).err();
        assert!(
            refused.is_some_and(|reason| reason.contains("has no key for")),
            "{other}"
        );
        let text = json!({"keys": [other, jwk]}).to_string();
        let set = KeySet::parse(text.into_bytes()).unwrap();
        assert_eq!(algorithms(&set), [[Algorithm::ES256]], "{other}");
    }
    // Members of other kinds disturb nothing; neither do numbers.
    let odd = with("exp", json!(1_700_000_000.5));
    let text = json!({"keys": [odd], "more": 1}).to_string();
    assert!(KeySet::parse(text.into_bytes()).is_ok());
}

#[test]
fn keys_in_pem_form_serve_tokens_with_any_key_id() {
    let rsa = Signer::rs256("r");
    let all = [
        Signer::es256("a"),
        Signer::es384("b"),
        Signer::eddsa("c"),
        rsa,
    ];
    let text: String = all.iter().map(Signer::pem).collect();
    let set = KeySet::parse(text.into_bytes()).unwrap();
    let expected: [&[Algorithm]; 4] = [
        &[Algorithm::ES256],
        &[Algorithm::ES384],
        &[Algorithm::EdDSA],
        RSA,
    ];
    assert_eq!(algorithms(&set), expected);
    assert_eq!(set.named(Some("any")).count(), 4);
    assert!(set.serves(&[Algorithm::PS256]) && set.serves(&[Algorithm::EdDSA]));
}

#[test]
fn the_number_of_keys_is_bounded() {
    let set = |keys: usize| {
        let text = json!({"keys": vec![Signer::es256("a").jwk(); keys]}).to_string();
        KeySet::parse(text.into_bytes())
    };
    assert!(set(KEYS).is_ok());
    let refused = set(KEYS + 1).err().unwrap();
    assert_eq!(refused, "has 65 keys, more than 64");
}

#[test]
fn a_text_without_keys_is_refused_with_the_reason() {
    let pem = |title: &str| format!("-----BEGIN {title}-----\nAAAA\n-----END {title}-----\n");
    for (text, reason) in [
        (String::new(), "neither a JSON Web Key Set"),
        ("{\"keys\": [".into(), "line 1, column 10"),
        ("{}".into(), "neither a JSON Web Key Set"),
        ("{\"keys\": []}".into(), "has no key for"),
        (pem("PRIVATE KEY"), "has a private key"),
        (pem("EC PRIVATE KEY"), "has a private key"),
        (pem("CERTIFICATE"), "has no key for"),
        (pem("PUBLIC KEY"), "none of RSA, P-256"),
        (" ".repeat(SET_BYTES + 1), "more than 1048576 bytes"),
    ] {
        let refused = KeySet::parse(text.clone().into_bytes()).err().unwrap();
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}
