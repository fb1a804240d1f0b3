//! `saga publish`: a record to a topic of the embedded log of a running host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::arguments::{self, topic};
use super::dead_letters::user;
use super::operate::{HostAddress, find, token};
use super::reply::{CommandFailure, shown};
use super::{exit, named_file, say};
use crate::admin::topic_report::Published;
use crate::apidocs::problems::percent_encode;
use crate::base::printable::Lines;

/// Longest wait for the answer.
const TIME: Duration = Duration::from_secs(30);

/// The record to publish.
#[derive(Debug, Clone, Args)]
pub(crate) struct PublishArguments {
    /// The topic
    #[arg(value_name = "TOPIC", value_parser = topic)]
    topic: String,
    /// The value: JSON text, @FILE for the content of a file, or - for standard input
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
    /// The event type [default: none, for participants that take records without one]
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Version of the event, by whose schema the value is checked [default: the present version that its participants read]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    event_version: Option<u32>,
    /// A header that the rules ask for; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = arguments::value)]
    headers: Vec<(String, String)>,
    /// Key of the record, which decides its partition [default: the key of the aggregate that takes it]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// CloudEvents id: records with the same id and source are applied once [default: a new one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// CloudEvents source [default: /saga/operator]
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Id of the saga that it belongs to [default: its own id]
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Publish it even if no participant can take it
    #[arg(long)]
    unchecked: bool,
}

/// The record, and where the host is.
#[derive(Debug)]
pub(crate) struct PublishOperation {
    pub(crate) record: PublishArguments,
    pub(crate) host: HostAddress,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) json: bool,
}

/// Publishes the record, prints where it is and returns the exit code.
pub(crate) fn publish(operation: &PublishOperation) -> u8 {
    match run(operation) {
        Ok(text) => {
            say(&text);
            exit::DONE
        }
        Err(failure) => failure.report(),
    }
}

fn run(operation: &PublishOperation) -> Result<String, CommandFailure> {
    let record = &operation.record;
    let value = value(&record.value)?;
    let headers = headers(&record.headers)?;
    let token = token(operation.token_file.as_deref())?;
    let client = find(&operation.host, token)?;
    let mut body = json!({"value": value, "by": user(), "unchecked": record.unchecked});
    let given = [
        ("type", &record.event_type),
        ("key", &record.key),
        ("id", &record.id),
        ("source", &record.source),
        ("correlation", &record.correlation),
    ];
    if let Some(members) = body.as_object_mut() {
        if let Some(version) = record.event_version {
            members.insert("version".into(), json!(version));
        }
        if !headers.is_empty() {
            members.insert("headers".into(), headers.into());
        }
        for (name, text) in given {
            let text = text.as_ref().map(|text| (name.to_owned(), json!(text)));
            members.extend(text);
        }
    }
    let path = format!("/topics/{}/records", percent_encode(&record.topic));
    let reply = client.ask(Method::POST, &path, body.to_string().into(), TIME);
    shown(reply, operation.json, told)
}

fn told(published: &Published) -> String {
    let mut text = Lines::default();
    let takers = match &published.participants[..] {
        [] => "nobody takes it".to_owned(),
        takers => format!("for {}", takers.join(", ")),
    };
    let repeat = match &published.known_to[..] {
        [] => String::new(),
        known => format!(
            "; {} had its id before: a repeat is dropped, unless it redrives a dead letter",
            known.join(", ")
        ),
    };
    let version = published.version;
    let version = version.map_or_else(String::new, |version| format!(" version {version}"));
    text.add(format_args!(
        "{}/{}/{} key {} id {} source {}{version}; {takers}{repeat}",
        published.topic,
        published.partition,
        published.offset,
        published.key,
        published.id,
        published.source,
    ));
    text.text()
}

/// The headers, each given once.
fn headers(given: &[(String, String)]) -> Result<Map<String, Value>, CommandFailure> {
    let mut headers = Map::new();
    for (name, value) in given {
        let first = headers.insert(name.clone(), json!(value));
        if first.is_some() {
            let said = format!("--header {name} is given twice");
            return Err(CommandFailure::new(exit::USAGE, said));
        }
    }
    Ok(headers)
}

/// The value that an argument names.
fn value(argument: &str) -> Result<String, CommandFailure> {
    let path = match argument.strip_prefix('@') {
        Some(path) => path,
        None if argument == "-" => "-",
        None => return Ok(argument.to_owned()),
    };
    named_file::read_value(Path::new(path))
        .map_err(|reason| CommandFailure::new(exit::USAGE, format!("the value {path}: {reason}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_text_or_the_content_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("value.json");
        std::fs::write(&path, "{\"a\":1}\n").unwrap();
        let named = format!("@{}", path.display());
        assert_eq!(value(&named).ok().unwrap(), "{\"a\":1}");
        assert_eq!(value("{\"b\":2}").ok().unwrap(), "{\"b\":2}");
        let failure = value("@/none/at/all").err().unwrap();
        assert_eq!(failure.code, exit::USAGE);
        assert!(failure.said.concat().contains("/none/at/all"));
    }

    #[test]
    fn where_a_record_went_is_one_line() {
        let mut published = Published {
            topic: "t".into(),
            partition: 1,
            offset: 7,
            key: "a\nb".into(),
            id: "i".into(),
            source: "/s".into(),
            version: Some(2),
            participants: vec!["one".into(), "two".into()],
            known_to: Vec::new(),
        };
        assert_eq!(
            told(&published),
            "t/1/7 key a\\nb id i source /s version 2; for one, two\n"
        );
        published.known_to.push("two".into());
        assert!(
            told(&published).contains("for one, two; two had its id before: a repeat is dropped")
        );
        published.known_to.clear();
        (published.version, published.participants) = (None, Vec::new());
        assert!(told(&published).ends_with(" source /s; nobody takes it\n"));
    }
}
