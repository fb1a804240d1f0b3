//! Why brokers can't be reached, in librdkafka's words, and what to do about it, in ours.

use crate::kafka::settings::KafkaSettings;
use crate::kafka::settings::security::SaslSettings;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// The words.
    pub(crate) text: String,
    /// Whether somebody has to act: it does not pass by itself.
    pub(crate) is_for_operator: bool,
}

/// What to do about records that the client can't unpack: what they unpack to is bounded by this property, and the buffer grows threefold.
pub(crate) const UNPACK: &str = "they may unpack to more than this host takes at once (100 MB): raise `\"receive.message.max.bytes\"` in \
     `[kafka.properties]` to three times what they unpack to, and start the host again; nothing after them in the partition is \
     read until then, and nothing is lost";

/// The reason without what is different each time: how long it took, and how often it was the same.
pub(crate) fn brief(reason: &str) -> &str {
    reason
        .rfind(" (after ")
        .and_then(|at| reason.get(..at))
        .unwrap_or(reason)
}

/// What to do about this reason.
pub(crate) fn remedy(reason: &str, settings: &KafkaSettings) -> Remedy {
    let is_tls = settings.tls.as_ref().is_some_and(|tls| tls.enabled);
    let act = |text: &str| Remedy {
        text: text.to_owned(),
        is_for_operator: true,
    };
    let says = |words: &[&str]| {
        let reason = reason.to_ascii_lowercase();
        words.iter().any(|word| reason.contains(word))
    };
    if says(&[
        "sasl authentication error",
        "authentication failed",
        "invalid credentials",
    ]) {
        return act(
            "the login is refused: check `username` and the password, or `client_id` and its secret, in `[kafka.sasl]`",
        );
    }
    if says(&["mechanism"]) {
        return act("the broker knows other ways to log in: check `mechanism` in `[kafka.sasl]`");
    }
    if says(&["oauthbearer", "token"]) {
        return act(
            "no token is had: check `token_endpoint`, `client_id`, its secret and `token_ca_file` in `[kafka.sasl]`",
        );
    }
    if says(&[
        "certificate verify failed",
        "certificate could not be verified",
    ]) {
        return act(
            "the broker's certificate is not trusted: it has expired, or is of an authority that `ca_file` in `[kafka.tls]` \
             does not hold, or is for another name than the one in `bootstrap`; `openssl s_client -connect HOST:PORT \
             -verify_hostname HOST -CAfile FILE` says which",
        );
    }
    if says(&["alert"]) && is_tls {
        return act(
            "the broker does not take this host's certificate, or wants one: check `certificate_file` and `key_file` in \
             `[kafka.tls]`, that it has not expired, and that the broker trusts its authority",
        );
    }
    let mut text = "check `bootstrap` and that the broker runs".to_owned();
    if settings.tls.is_none() && settings.sasl.is_none() && settings.properties.is_empty() {
        text.push_str("; if it wants encryption or a login, give `[kafka.tls]` or `[kafka.sasl]`");
    } else if is_tls && says(&["wrong version", "packet length", "disconnected"]) {
        text.push_str("; and whether that is its port for TLS");
    }
    Remedy {
        text,
        is_for_operator: false,
    }
}

/// What to do about a file that a client was not made with.
pub(crate) fn of_files(reason: &str) -> Option<&'static str> {
    let remedies = [
        (
            "ssl.key.location failed",
            "`key_file` in `[kafka.tls]` is encrypted with another `key_password`, or is not the key of `certificate_file`",
        ),
        (
            "ssl.certificate.location failed",
            "`certificate_file` in `[kafka.tls]` holds no certificate (PEM)",
        ),
        (
            "ssl.ca.location failed",
            "`ca_file` in `[kafka.tls]` holds no certificate (PEM)",
        ),
    ];
    let found = remedies.iter().find(|(words, _)| reason.contains(words));
    found.map(|(_, remedy)| *remedy)
}

/// How an operator gives this host's user rights on a topic or a group.
pub(crate) fn allow(settings: &KafkaSettings, rights: &[&str], kind: &str, name: &str) -> String {
    let user = match &settings.sasl {
        Some(SaslSettings::Password(login)) => &login.username,
        // What brokers make of a certificate or a token is their affair.
        Some(SaslSettings::Token(_)) | None => "NAME",
    };
    let operations: String = rights
        .iter()
        .map(|right| format!(" --operation {right}"))
        .collect();
    format!(
        "allow this user to do so: `kafka-acls --add --allow-principal User:{user}{operations} --{kind} {name}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::settings::security::TlsSettings;

    fn tls() -> KafkaSettings {
        KafkaSettings {
            tls: Some(TlsSettings {
                enabled: true,
                ..TlsSettings::default()
            }),
            ..KafkaSettings::default()
        }
    }

    #[test]
    fn each_reason_has_its_remedy() {
        for (reason, expected) in [
            (
                "SASL authentication error: Authentication failed: Invalid username or password",
                "`username`",
            ),
            (
                "Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512",
                "`mechanism`",
            ),
            (
                "Failed to acquire SASL OAUTHBEARER token: 401",
                "`token_endpoint`",
            ),
            (
                "SSL handshake failed: certificate verify failed: broker certificate could not be verified",
                "`ca_file`",
            ),
            (
                "ssl/tls alert bad certificate: SSL alert number 42",
                "`certificate_file`",
            ),
        ] {
            let remedy = remedy(reason, &tls());
            assert!(
                remedy.text.contains(expected) && remedy.is_for_operator,
                "{reason}: {remedy:?}"
            );
        }
    }

    #[test]
    fn a_host_without_security_is_told_of_it() {
        let away = remedy("Connection refused", &KafkaSettings::default());
        assert!(
            away.text.contains("[kafka.tls]") && !away.is_for_operator,
            "{away:?}"
        );
        let away = remedy("Connection refused", &tls());
        assert!(
            !away.text.contains("[kafka.tls]") && away.text.contains("`bootstrap`"),
            "{away:?}"
        );
    }

    #[test]
    fn rights_are_named_as_the_tools_call_them() {
        let said = allow(&tls(), &["Read", "Write"], "topic", "orders");
        assert!(
            said.contains(
                "--allow-principal User:NAME --operation Read --operation Write --topic orders"
            ),
            "{said}"
        );
    }

    #[test]
    fn files_that_can_not_be_used_are_called_as_in_the_settings() {
        for (name, expected) in [
            ("key", "`key_file`"),
            ("certificate", "`certificate_file`"),
            ("ca", "`ca_file`"),
        ] {
            let said = of_files(&format!(
                "Client creation error: ssl.{name}.location failed: error:0A08"
            ));
            assert!(said.unwrap().starts_with(expected), "{said:?}");
        }
        assert_eq!(of_files("Client creation error: no memory"), None);
    }

    #[test]
    fn what_differs_each_time_is_left_out() {
        let reason = "SASL authentication error: no (after 147ms in state AUTH_REQ, 1 identical error(s) suppressed)";
        assert_eq!(brief(reason), "SASL authentication error: no");
        assert_eq!(brief("Connection refused"), "Connection refused");
    }
}
