//! Advice for operators. It follows from error codes and settings, never from librdkafka's texts,
//! which are only quoted.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::settings::KafkaSettings;
use crate::kafka::settings::security::SaslSettings;

/// Advice on records that can't be decompressed: this property bounds their decompressed size, and
/// the buffer grows threefold.
pub(super) const UNPACK: &str = "they may unpack to more than this host takes at once (100 MB): raise \
     `\"receive.message.max.bytes\"` in `[kafka.properties]` to three times what they unpack to, and start the host again";

pub(super) fn brokers_advice(code: Code, settings: &KafkaSettings) -> &'static str {
    match code {
        Code::SSL => {
            "TLS fails. Either the broker's certificate is not trusted: it has expired, or is of an authority that \
             `ca_file` in `[kafka.tls]` does not hold, or is for another name than the one in `bootstrap`; `openssl \
             s_client -connect HOST:PORT -verify_hostname HOST -CAfile FILE` says which. Or the broker does not take this \
             host's certificate: check `certificate_file` and `key_file`. Or `bootstrap` names another port than that for TLS"
        }
        code if is_login(code) => match settings.sasl {
            Some(SaslSettings::Token(_)) => {
                "no token is had, or it is refused: check `token_endpoint`, `client_id`, its secret and `token_ca_file` in \
                 `[kafka.sasl]`"
            }
            _ => {
                "the login is refused: check `mechanism`, `username` and the password in `[kafka.sasl]`"
            }
        },
        _ if settings.is_tls() => {
            "check `bootstrap`, that the broker runs, that this is its port for TLS, and that it takes this host's \
             certificate (`certificate_file` in `[kafka.tls]`), if it wants one"
        }
        _ => {
            "check `bootstrap` and that the broker runs; if it wants encryption or a login, give `[kafka.tls]` or \
             `[kafka.sasl]`"
        }
    }
}

pub(super) fn refusal_advice(code: Code) -> &'static str {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::QueueFull => {
            "it is too large: raise `max.message.bytes` of the topic on the broker; it then goes through by itself, unless \
             it is too large for this host as well: then raise the property `message.max.bytes` here, and start this process \
             again"
        }
        Code::InvalidTimestamp => {
            "its time, which is that of sending, is not one that the topic takes: set the clocks of this machine and of the \
             broker's right, or raise `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` of the topic; \
             it then goes through by itself"
        }
        code if is_unknown_topic(code) => {
            "the topic was deleted: it is created again, if this user may do that"
        }
        _ => "see what the broker says",
    }
}

/// The effect of an open transaction at this offset, and the remedy.
pub(crate) fn open_transaction(
    settings: &KafkaSettings,
    topic: &str,
    partition: i32,
    offset: i64,
) -> String {
    let tool = format!(
        "kafka-transactions.sh --bootstrap-server {}",
        settings.bootstrap
    );
    format!(
        "a transaction of a writer is open from offset {offset} on, and nothing from there on is given to readers until it \
         is committed or aborted. The broker aborts it after the writer's transaction.timeout.ms. If that writer is gone: \
         `{tool} describe-producers --topic {topic} --partition {partition}` names it, `{tool} abort --topic {topic} \
         --partition {partition} --start-offset {offset}` aborts it"
    )
}

/// The command by which an operator gives this host's user rights on a topic or a group.
pub(crate) fn allow(settings: &KafkaSettings, rights: &[&str], kind: &str, name: &str) -> String {
    let user = match &settings.sasl {
        Some(SaslSettings::Password(login)) => &login.username,
        // The user name depends on how brokers read the certificate or token.
        Some(SaslSettings::Token(_)) | None => "NAME",
    };
    let rights: String = (rights.iter())
        .map(|right| format!(" --operation {right}"))
        .collect();
    format!(
        "allow this user to do so: `kafka-acls --add --allow-principal User:{user}{rights} --{kind} {name}`"
    )
}

/// A reason of librdkafka's without its variable parts: duration, and number of repetitions.
pub(super) fn brief(reason: &str) -> &str {
    reason
        .rsplit_once(" (after ")
        .map_or(reason, |(brief, _)| brief)
}

/// True if this code stands for missing rights, which an operator can grant.
pub(crate) fn lacks_rights(code: Code) -> bool {
    use Code::{ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed};
    matches!(
        code,
        ClusterAuthorizationFailed | GroupAuthorizationFailed | TopicAuthorizationFailed
    )
}

fn is_login(code: Code) -> bool {
    use Code::{Authentication, SaslAuthenticationFailed, UnsupportedSASLMechanism};
    matches!(
        code,
        Authentication | SaslAuthenticationFailed | UnsupportedSASLMechanism
    )
}

/// True if this code stands for unreachable brokers until somebody acts.
pub(super) fn is_for_operator(code: Code) -> bool {
    is_login(code) || code == Code::SSL
}

pub(crate) fn is_unknown_topic(code: Code) -> bool {
    use Code::{UnknownPartition, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition};
    matches!(
        code,
        UnknownPartition | UnknownTopic | UnknownTopicId | UnknownTopicOrPartition
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::settings::security::TlsSettings;
    use crate::kafka::tests::login;

    fn tls() -> KafkaSettings {
        let tls = TlsSettings {
            enabled: true,
            ..TlsSettings::default()
        };
        KafkaSettings {
            tls: Some(tls),
            ..KafkaSettings::default()
        }
    }

    #[test]
    fn each_code_has_its_advice() {
        let password = KafkaSettings {
            sasl: Some(login("SCRAM-SHA-512")),
            ..tls()
        };
        for (code, expected, needs_operator) in [
            (Code::Authentication, "`username`", true),
            (Code::Authentication, "`mechanism`", true),
            (Code::SSL, "`ca_file`", true),
            (Code::SSL, "`certificate_file`", true),
            (Code::BrokerTransportFailure, "its port for TLS", false),
            (Code::OperationTimedOut, "`bootstrap`", false),
        ] {
            let advice = brokers_advice(code, &password);
            assert!(advice.contains(expected), "{code}: {advice}");
            assert_eq!(is_for_operator(code), needs_operator, "{code}");
        }
    }

    #[test]
    fn a_host_without_security_is_told_of_it() {
        let away =
            |settings: &KafkaSettings| brokers_advice(Code::BrokerTransportFailure, settings);
        let plain = KafkaSettings::default();
        assert!(away(&plain).contains("[kafka.tls]` or"));
        let tls = tls();
        let secured = away(&tls);
        assert!(
            !secured.contains("if it wants encryption") && secured.contains("`bootstrap`"),
            "{secured}"
        );
    }

    #[test]
    fn rights_are_named_as_the_tools_call_them() {
        let said = allow(&tls(), &["Read", "Write"], "topic", "orders");
        let expected =
            "--allow-principal User:NAME --operation Read --operation Write --topic orders";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn what_differs_each_time_is_left_out() {
        let reason = "SASL authentication error: no (after 147ms in state AUTH_REQ, 1 identical error(s) suppressed)";
        assert_eq!(brief(reason), "SASL authentication error: no");
        assert_eq!(brief("Connection refused"), "Connection refused");
    }
}
