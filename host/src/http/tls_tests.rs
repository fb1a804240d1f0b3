#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A self-signed certificate, valid in these years, and its key.
fn made(from: i32, to: i32) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn files(certificate: &str, key: &str) -> (tempfile::TempDir, CertificateFiles) {
    let directory = tempfile::tempdir().unwrap();
    let files = CertificateFiles {
        certificate: directory.path().join("chain.pem"),
        key: directory.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    (directory, files)
}

#[test]
fn files_that_fit_can_be_used_in_one_or_two() {
    let (certificate, key) = made(2020, 2400);
    let (_directory, two) = files(&certificate, &key);
    assert_eq!(two.problems(), []);
    let both = format!("{key}{certificate}");
    let (_directory, one) = files(&both, &both);
    assert_eq!(one.problems(), []);
}

#[test]
fn everything_that_is_wrong_is_said_with_the_file_and_without_what_stands_in_it() {
    let (certificate, key) = made(2020, 2400);
    let (_, other) = made(2020, 2400);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cut = certificate.get(..certificate.len() / 2).unwrap();
    let no_der = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    for (certificate, key, expected) in [
        (
            "c2VjcmV0",
            "c2VjcmV0",
            &["chain.pem holds no certificate", "key.pem holds no key"][..],
        ),
        (
            &*certificate,
            &*other,
            &["key.pem is not the key of the certificate in"],
        ),
        (&certificate, encrypted, &["key.pem is encrypted"]),
        (&certificate, no_key, &["key.pem can't be used"]),
        (cut, &key, &["chain.pem"]),
        (no_der, &key, &["chain.pem can't be used"]),
        (
            &"x".repeat(2 << 20),
            &key,
            &["chain.pem has more than 1048576 bytes"],
        ),
    ] {
        let (_directory, files) = files(certificate, key);
        let said: Vec<String> = files.problems().iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), expected.len(), "{said:?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.contains(expected), "{said}");
            assert!(
                !said.contains("c2VjcmV0") && !said.contains("secret"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_certificate_is_valid_between_its_dates() {
    let (certificate, _) = made(2020, 2024);
    let leaf = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let at = |year: i64| {
        let date = date_time_ymd(year.try_into().unwrap(), 1, 11);
        let seconds = date.unix_timestamp().try_into().unwrap();
        not_valid(
            &leaf,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        )
    };
    assert_eq!(at(2019).as_deref(), Some("is not valid yet"));
    assert_eq!(at(2021), None);
    assert_eq!(at(2024).as_deref(), Some("has expired (10 days ago)"));
}
