#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::sync::LazyLock;

use saga_testkit::tokens::{Signer, key_set, unsigned, with_secret};
use serde_json::json;

use super::*;
use crate::http::auth::provider;

/// Seconds since the Unix epoch.
const NOW: u64 = 1_800_000_000;

static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rs256("rsa"));

fn rules() -> TokenRules {
    provider::install();
    TokenRules {
        issuer: "https://id.example".into(),
        audience: vec!["orders".into(), "shop".into()],
        algorithms: vec![
            Algorithm::RS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
            Algorithm::PS256,
            Algorithm::ES384,
        ],
        leeway_ms: 30_000,
        subject_claim: "sub".into(),
        permissions_claim: "permissions".into(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "orders", "sub": "ann",
        "exp": NOW + 300, "nbf": NOW - 10, "iat": NOW - 10,
        "scope": "orders:read orders:cancel", "permissions": ["refunds"],
        "tenant": 12_345_678_901_234_567_890_u64,
    })
}

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::parse(key_set(signers).into_bytes()).unwrap()
}

fn check(token: &str, keys: &KeySet) -> Result<CallerIdentity, Rejected> {
    verify(token, keys, &rules(), NOW * 1_000)
}

/// Checks a token that is changed like this; gives the reason.
fn changed(change: impl Fn(&mut Value)) -> Result<CallerIdentity, String> {
    let signer = Signer::es256("a");
    let mut claims = claims();
    change(&mut claims);
    check(&signer.token(&claims), &keys(&[&signer])).map_err(|rejected| match rejected {
        Rejected::Invalid(reason) => reason,
        Rejected::UnknownKey => "unknown".into(),
    })
}

#[test]
fn tokens_of_every_algorithm_name_their_caller() {
    let signers = [
        Signer::es256("a"),
        Signer::es384("b"),
        Signer::eddsa("c"),
        Signer::rs256("d"),
        Signer::rs256("e").as_ps256(),
    ];
    let keys = keys(&signers.each_ref());
    for signer in &signers {
        let ann = check(&signer.token(&claims()), &keys).unwrap();
        assert_eq!(ann.subject(), "ann");
        let permissions: Vec<_> = ann.permissions.iter().collect();
        assert_eq!(permissions, ["orders:cancel", "orders:read", "refunds"]);
        assert_eq!(ann.expires, Some((NOW + 330) * 1_000));
        // Numbers keep their digits.
        let told = ann.caller(&["tenant".into()]);
        assert_eq!(told.claims, r#"{"tenant":12345678901234567890}"#);
    }
}

#[test]
fn claims_that_are_nested_too_deep_are_refused_for_that() {
    let signer = Signer::es256("a");
    let token = |levels: usize| {
        let mut claims = claims();
        claims["deep"] = (0..levels).fold(json!(1), |value, _| Value::Array(vec![value]));
        signer.token(&claims)
    };
    // Such a value is written with much of the stack, and read with little.
    let deep = |levels| {
        let write = || token(levels);
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(64 << 20);
            builder.spawn_scoped(scope, write).unwrap().join().unwrap()
        })
    };
    let keys = keys(&[&signer]);
    // The claims are a level, too.
    assert!(check(&deep(126), &keys).is_ok());
    for levels in [127, 2_000] {
        let Err(Rejected::Invalid(refused)) = check(&deep(levels), &keys) else {
            panic!("{levels} levels are taken");
        };
        let told = "the payload of the token is nested deeper than 127 levels";
        assert!(refused.starts_with(told), "{refused}");
    }
}

#[test]
fn a_token_can_not_choose_its_algorithm() {
    let keys = keys(&[&RSA]);
    let none = unsigned(&json!({"alg": "none", "kid": "rsa"}), &claims());
    for token in [format!("{none}."), none.clone(), format!("{none}.AAAA")] {
        assert!(
            matches!(check(&token, &keys), Err(Rejected::Invalid(_))),
            "{token}"
        );
    }
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "rsa"});
    let jwk = RSA.jwk();
    for secret in [
        RSA.pem(),
        RSA.pem().trim().to_owned(),
        jwk.to_string(),
        jwk["n"].as_str().unwrap().to_owned(),
    ] {
        let token = with_secret(&header, &claims(), secret.as_bytes());
        let Err(Rejected::Invalid(reason)) = check(&token, &keys) else {
            panic!("HS256 with the public key is taken");
        };
        assert!(reason.contains("HS256, which is not allowed"), "{reason}");
    }
    // The signature is RS256's, whatever the header says.
    for algorithm in ["PS256", "ES256", "EdDSA", "RS384"] {
        let header = json!({"alg": algorithm, "kid": "rsa"});
        let token = RSA.token_with(&header, &claims());
        assert!(
            matches!(check(&token, &keys), Err(Rejected::Invalid(_))),
            "{algorithm}"
        );
    }
}

#[test]
fn an_algorithm_that_is_not_listed_is_refused() {
    let signer = Signer::eddsa("a");
    let rules = TokenRules {
        algorithms: vec![Algorithm::ES256],
        ..rules()
    };
    let refused = verify(
        &signer.token(&claims()),
        &keys(&[&signer]),
        &rules,
        NOW * 1_000,
    );
    let reason = "the token is signed with EdDSA, which is not allowed here";
    assert_eq!(refused, Err(Rejected::Invalid(reason.into())));
}

#[test]
fn times_count_with_the_leeway() {
    assert!(changed(|claims| claims["exp"] = json!(NOW - 29)).is_ok());
    assert!(changed(|claims| claims["exp"] = json!(NOW as f64 - 29.5)).is_ok());
    assert!(changed(|claims| claims["nbf"] = json!(NOW + 30)).is_ok());
    assert!(changed(|claims| drop(claims.as_object_mut().unwrap().remove("nbf"))).is_ok());
    for (name, value, reason) in [
        ("exp", json!(NOW - 30), "has expired"),
        ("exp", json!(0), "has expired"),
        ("nbf", json!(NOW + 31), "is not valid yet"),
        ("exp", json!("soon"), "no valid claim `exp`"),
        ("exp", json!(-1), "no valid claim `exp`"),
        ("nbf", json!(null), "no valid claim `nbf`"),
    ] {
        let refused = changed(|claims| claims[name] = value.clone()).unwrap_err();
        assert!(refused.contains(reason), "{name} {value}: {refused}");
    }
    let endless = changed(|claims| drop(claims.as_object_mut().unwrap().remove("exp")));
    assert!(endless.unwrap_err().contains("no claim `exp`"));
}

#[test]
fn issuer_audience_and_subject_must_be_right() {
    for (name, value) in [
        ("aud", json!(["other", "shop"])),
        ("sub", json!("ü".repeat(100))),
    ] {
        assert!(
            changed(|claims| claims[name] = value.clone()).is_ok(),
            "{value}"
        );
    }
    for (name, value, reason) in [
        ("iss", json!("https://evil.example"), "is not of the issuer"),
        ("iss", json!(null), "no valid claim `iss`"),
        ("iss", json!(7), "no valid claim `iss`"),
        ("aud", json!("other"), "for another audience"),
        ("aud", json!(["other"]), "for another audience"),
        ("aud", json!([]), "for another audience"),
        ("aud", json!({}), "no valid claim `aud`"),
        ("aud", json!(null), "no valid claim `aud`"),
        ("sub", json!(null), "no claim `sub`"),
        ("sub", json!(7), "no claim `sub`"),
        ("sub", json!(""), "is empty"),
        ("sub", json!("a\nb"), "control characters"),
        ("sub", json!("a".repeat(256)), "more than 255"),
    ] {
        let refused = changed(|claims| claims[name] = value.clone()).unwrap_err();
        assert!(refused.contains(reason), "{name} {value}: {refused}");
    }
    for name in ["iss", "aud", "sub"] {
        let refused = changed(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert!(refused.unwrap_err().contains(name), "{name}");
    }
}

#[test]
fn a_token_of_another_key_is_not_taken() {
    let (known, other) = (Signer::es256("a"), Signer::es256("a"));
    let refused = check(&other.token(&claims()), &keys(&[&known]));
    let reason = "the signature of the token is not valid";
    assert_eq!(refused, Err(Rejected::Invalid(reason.into())));
    let stranger = Signer::es256("b");
    let refused = check(&stranger.token(&claims()), &keys(&[&known]));
    assert_eq!(refused, Err(Rejected::UnknownKey));
    // Without a key id, each key is tried.
    let second = Signer::es256("b");
    let token = second.token_with(&json!({"alg": "ES256"}), &claims());
    assert!(check(&token, &keys(&[&known, &second])).is_ok());
    let mut token = known.token(&claims());
    token.replace_range(token.len() - 4.., "AAAA");
    assert!(matches!(
        check(&token, &keys(&[&known])),
        Err(Rejected::Invalid(_))
    ));
}

#[test]
fn garbage_is_no_token() {
    let signer = Signer::es256("a");
    let keys = keys(&[&signer]);
    let good = signer.token(&claims());
    let long = signer.token(&json!({"pad": "x".repeat(TOKEN_BYTES)}));
    let critical = json!({"alg": "ES256", "kid": "a", "crit": ["exp"]});
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "ü.ü.ü",
        &good[1..],
        &format!("{good}.x"),
        &good.replace('.', ""),
        &long,
        &signer.token_with(&critical, &claims()),
        &signer.token(&json!([1, 2])),
        &signer.token(&json!("text")),
    ] {
        let refused = check(token, &keys);
        let Err(Rejected::Invalid(reason)) = refused else {
            panic!("{token} is taken");
        };
        // The reason quotes no part of it.
        let quotes = token.len() > 8 && reason.contains(&token[..8]);
        assert!(!quotes, "{reason}");
    }
    assert!(check(&long, &keys).is_err_and(
        |refused| matches!(refused, Rejected::Invalid(reason) if reason.contains("it may have"))
    ));
}

#[test]
fn permissions_may_be_a_text_or_lie_deeper() {
    let signer = Signer::es256("a");
    let mut claims = claims();
    claims["roles"] = json!("clerk  manager");
    claims["realm"] = json!({"roles": ["admin", 7]});
    let of = |claim: &str| {
        let rules = TokenRules {
            permissions_claim: claim.into(),
            ..rules()
        };
        let token = signer.token(&claims);
        let identity = verify(&token, &keys(&[&signer]), &rules, NOW * 1_000).unwrap();
        identity
            .permissions
            .into_iter()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(of("roles"), "clerk manager orders:cancel orders:read");
    assert_eq!(of("/realm/roles"), "admin orders:cancel orders:read");
    for absent in ["", "none", "/none", "/realm/none", "/realm", "/"] {
        assert_eq!(of(absent), "orders:cancel orders:read", "{absent}");
    }
}
