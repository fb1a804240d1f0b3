//! Answers of a host, for people and machines: the value, or error lines and an exit code.
//!
//! Must not know: the request.

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::{AdminClientError, AdminReply};
use super::operate::TOKEN_VARIABLE;
use super::{complain, exit, say, table};
use crate::admin::readiness::ReadinessReport;
use crate::base::printable::{self, escaped};
use crate::config::ConfigError;
use crate::rollout::report::Check;
use crate::store::StoreLocation;

/// A failed command: the lines to print, and the exit code.
pub(crate) struct CommandFailure {
    pub(crate) said: Vec<String>,
    pub(crate) code: u8,
}

impl CommandFailure {
    pub(crate) fn new(code: u8, said: impl Into<String>) -> Self {
        Self {
            said: vec![said.into()],
            code,
        }
    }

    /// The place that a command names has no store.
    pub(crate) fn no_store(data: &StoreLocation) -> Self {
        let said = format!("there is no store in {data}; --data names it");
        Self::new(exit::USAGE, said)
    }

    /// Prints the lines; gives the exit code.
    pub(crate) fn report(self) -> u8 {
        self.said.iter().for_each(|line| complain(line));
        self.code
    }
}

impl From<ConfigError> for CommandFailure {
    fn from(ConfigError(said): ConfigError) -> Self {
        Self {
            said,
            code: exit::USAGE,
        }
    }
}

/// The answer as text or JSON.
pub(crate) fn shown<T: DeserializeOwned>(
    reply: Result<AdminReply, AdminClientError>,
    json: bool,
    text: impl Fn(&T) -> String,
) -> Result<String, CommandFailure> {
    let (value, body) = understand(reply, json)?;
    Ok(if json {
        format!("{}\n", printable::json(body))
    } else {
        text(&value)
    })
}

/// A value of the command's own, as `--json` prints it.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String, CommandFailure> {
    let text = serde_json::to_string(value);
    text.map(|text| format!("{}\n", printable::json(text)))
        .map_err(|error| CommandFailure::new(exit::INTERNAL, error.to_string()))
}

/// The readiness as text, or as a failure that a script can wait on. `at` is as for
/// [`table::ready`].
pub(crate) fn ready(
    reply: Result<AdminReply, AdminClientError>,
    json: bool,
    at: &str,
) -> Result<String, CommandFailure> {
    let (report, body) = match reply {
        // A host that is not ready answers with the same report as a ready one.
        Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE => {
            let status = StatusCode::OK;
            understand::<ReadinessReport>(Ok(AdminReply { status, ..reply }), json)?
        }
        reply => understand(reply, json)?,
    };
    let text = match json {
        true => format!("{}\n", printable::json(body)),
        false => table::ready(&report, at),
    };
    if report.status.http() == StatusCode::OK {
        return Ok(text);
    }
    say(&text);
    let said = "the host takes no requests at the moment";
    Err(CommandFailure::new(exit::TRY_AGAIN, said))
}

/// Problem details, as far as they matter here.
#[derive(Deserialize)]
struct ProblemDetails {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
    check: Option<Check>,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    allowed_by: Vec<String>,
}

/// The answer, as a value and as raw text.
pub(crate) fn understand<T: DeserializeOwned>(
    reply: Result<AdminReply, AdminClientError>,
    json: bool,
) -> Result<(T, String), CommandFailure> {
    let reply = reply.map_err(|error| {
        let advice = match &error {
            AdminClientError::NotReached(..) => "is it running?",
            AdminClientError::BrokeOff(..) => "`saga generations` shows what is active",
        };
        CommandFailure::new(exit::UNAVAILABLE, format!("{error}; {advice}"))
    })?;
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    let stranger = || {
        let said = "the server there is not the admin interface of this version of saga";
        CommandFailure::new(
            exit::UNAVAILABLE,
            format!("{said} (status {})", reply.status),
        )
    };
    if reply.status == StatusCode::OK {
        let value = serde_json::from_str(&body).map_err(|_| stranger())?;
        return Ok((value, body));
    }
    let told: ProblemDetails = serde_json::from_str(&body).map_err(|_| stranger())?;
    if json {
        say(&format!("{}\n", printable::json(body)));
    }
    Err(failure(reply.status, told))
}

fn failure(status: StatusCode, told: ProblemDetails) -> CommandFailure {
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => exit::NO_PERMISSION,
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => exit::COMPONENT,
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::CONFLICT => exit::USAGE,
        StatusCode::NOT_IMPLEMENTED => exit::UNAVAILABLE,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => exit::TRY_AGAIN,
        _ => exit::INTERNAL,
    };
    if let Some(check) = told.check {
        return CommandFailure {
            said: refusal(check, &told.reasons, &told.allowed_by),
            code,
        };
    }
    let advice = match status {
        StatusCode::UNAUTHORIZED => {
            format!("; give the host's token with --token-file FILE or {TOKEN_VARIABLE}")
        }
        _ => String::new(),
    };
    // The last segment of the type is a word that people can search for.
    let word = told.kind.rsplit('/').next().unwrap_or_default();
    CommandFailure::new(code, escaped(&format!("{}{advice} ({word})", told.detail)))
}

/// One line per reason of a refusal, and one for the flags that override it.
pub(crate) fn refusal(check: Check, reasons: &[String], allowed_by: &[String]) -> Vec<String> {
    let check = check.word();
    let line = |reason: &str| escaped(&format!("refused ({check}): {reason}")).into_owned();
    let mut lines: Vec<_> = reasons.iter().map(|reason| line(reason)).collect();
    if !allowed_by.is_empty() {
        let flags: Vec<_> = allowed_by.iter().map(|flag| format!("--{flag}")).collect();
        let verb = if flags.len() == 1 { "takes" } else { "take" };
        let flags = flags.join(" ");
        lines.push(line(&format!("{flags} {verb} it all the same")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::report::SwapResult;
    use serde_json::json;

    fn reply(status: u16, body: &str) -> Result<AdminReply, AdminClientError> {
        Ok(AdminReply {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned().into(),
        })
    }

    fn refused(status: u16, body: &str) -> CommandFailure {
        understand::<SwapResult>(reply(status, body), false)
            .err()
            .unwrap()
    }

    #[test]
    fn each_problem_has_its_exit_code() {
        for (status, word, code) in [
            (401, "unauthorized", 77),
            (403, "foreign-host", 77),
            (404, "unknown-participant", 64),
            (404, "unknown-generation", 64),
            (413, "body-too-large", 65),
            (408, "body-too-slow", 75),
            (422, "record-refused", 65),
            (501, "no-embedded-log", 69),
            (503, "busy", 75),
            (500, "swap-failed", 70),
        ] {
            let body = json!({"type": format!("/problems/{word}"), "detail": "so it is"});
            let failure = refused(status, &body.to_string());
            assert_eq!(failure.code, code, "{word}");
            let said = failure.said.join("\n");
            assert!(
                said.starts_with("so it is") && said.ends_with(&format!("({word})")),
                "{said}"
            );
        }
        for (status, body) in [(200, "{}"), (404, "<html>"), (500, "")] {
            assert_eq!(refused(status, body).code, 69, "{status} {body}");
        }
    }

    #[test]
    fn each_reason_of_a_refusal_is_a_line_that_steers_no_terminal() {
        let body = json!({
            "type": "/problems/component-refused",
            "detail": "all of it",
            "check": "world",
            "reasons": ["no export\nat all", "an \u{1b}[31mimport"],
        });
        let failure = refused(422, &body.to_string());
        assert_eq!(failure.code, 65);
        assert_eq!(
            failure.said,
            [
                "refused (world): no export\\nat all",
                "refused (world): an \\u{1b}[31mimport"
            ]
        );
        let body = json!({
            "type": "/problems/component-refused",
            "detail": "all of it",
            "check": "compatibility",
            "reasons": ["an event"],
            "allowed_by": ["drop-used", "allow-breaking"],
        });
        assert_eq!(
            refused(422, &body.to_string()).said,
            [
                "refused (compatibility): an event",
                "refused (compatibility): --drop-used --allow-breaking take it all the same"
            ]
        );
    }
}
