//! Commands for a running host: `saga apply`, `saga rollback`, `saga generations`, `saga hosts`, `saga ready`.
//!
//! The host is found by its data directory or by a URL; its answer becomes text or is passed on as
//! JSON, with an exit code. Errors go to standard error, one line per reason; with `--json`
//! standard output has the answer as well, as problem details.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use super::client::{AdminClient, AdminClientError, AdminReply};
use super::dead_letters::user;
use super::reply::{CommandFailure, json_line, ready, shown, understand};
use super::stopped::{self, StoppedHost};
use super::terminal::ProgressLine;
use super::{admin_file, dev, exit, hosts, named_file, say, table};
use crate::apidocs::problems::percent_encode;
use crate::base::printable::Lines;
use crate::config::Token;
use crate::rollout;
use crate::rollout::flags::Flags;
use crate::rollout::gate::ACKNOWLEDGE;
use crate::rollout::report::{NotApplied, Overview, ParticipantOverview};
use crate::rollout::rule_settings::SettingsChange;
use crate::rollout::stopped::has_store;
use crate::store::{ReadStore, StoreFault, StoreLocation};

/// Longest wait for an answer that takes no work.
const LOOK_TIME: Duration = Duration::from_secs(30);

/// Longest wait for a swap: compiling runs at low priority, beside the turns.
const SWAP_TIME: Duration = Duration::from_secs(600);

/// Most bytes of a component; no host takes more.
const COMPONENT_BYTES: u64 = 128 << 20;

/// The data directory, unless another one is named.
pub(super) const DATA: &str = "saga-data";

/// Data directories of `saga run` and `saga dev`, unless another one is named.
const USUAL: [&str; 2] = [DATA, dev::DATA];

/// Environment variable with the token, the one that the host itself reads.
pub(crate) const TOKEN_VARIABLE: &str = "SAGA__ADMIN__TOKEN";

/// A request to a host.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) ask: OperatorCommand,
    pub(crate) host: HostAddress,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) json: bool,
}

/// The kinds of request.
#[derive(Debug)]
pub(crate) enum OperatorCommand {
    Apply {
        participant: String,
        /// None keeps the active component.
        path: Option<PathBuf>,
        settings: SettingsChange,
        flags: Flags,
        /// The change set of recorded decisions that the operator takes.
        acknowledged: Option<String>,
    },
    Rollback {
        participant: String,
        digest: Option<String>,
        flags: Flags,
        /// For when no host runs.
        stopped: Box<StoppedHost>,
    },
    Generations {
        participant: Option<String>,
    },
    Hosts,
    Ready,
}

/// The way to find the host.
#[derive(Debug)]
pub(crate) enum HostAddress {
    /// By its store: the data directory has the address of its host.
    Data(StoreLocation),
    /// By the URL of its admin interface.
    Url(String),
}

impl HostAddress {
    /// The arguments by which commands find the host, each after a space; empty for the default.
    fn arguments(&self) -> String {
        match self {
            Self::Data(StoreLocation::Directory(data)) if data == Path::new(DATA) => String::new(),
            Self::Data(StoreLocation::Directory(data)) => format!(" --data {}", data.display()),
            Self::Data(StoreLocation::Server(address)) => format!(" --data {}", address.url()),
            Self::Url(url) => format!(" --admin {url}"),
        }
    }
}

/// Sends the request, prints the result and returns the exit code.
pub(crate) fn operate(operation: &Operation) -> u8 {
    match ask(operation) {
        Ok(text) => {
            say(&text);
            exit::DONE
        }
        Err(failure) => failure.report(),
    }
}

fn ask(operation: &Operation) -> Result<String, CommandFailure> {
    let token = token(operation.token_file.as_deref())?;
    let (host, json) = (&operation.host, operation.json);
    match &operation.ask {
        OperatorCommand::Apply {
            participant,
            path,
            settings,
            flags,
            acknowledged,
        } => {
            let component = path.as_deref().map(read_component).transpose()?;
            let client = find(host, token)?;
            let acknowledged = acknowledged.as_deref();
            let change = change(component, settings, *flags, acknowledged);
            apply(&client, participant, change, json)
        }
        OperatorCommand::Rollback {
            participant,
            digest,
            flags,
            stopped,
        } => {
            let digest = digest.as_deref();
            let without_host = || stopped::rollback(stopped, participant, digest, *flags, json);
            let client = match (find(host, token), host) {
                (Err(failure), HostAddress::Data(data))
                    if failure.code == exit::UNAVAILABLE && has_store(data) =>
                {
                    return without_host();
                }
                (found, _) => found?,
            };
            match (roll_back(&client, participant, digest, *flags), host) {
                // The file of a host that crashed.
                (Err(AdminClientError::NotReached(..)), HostAddress::Data(_)) => without_host(),
                (reply, _) => shown(reply, json, table::applied),
            }
        }
        OperatorCommand::Generations { participant } => {
            generations(host, token, participant.as_deref(), json)
        }
        OperatorCommand::Hosts => hosts::hosts(&operation.host, token, json),
        OperatorCommand::Ready => {
            let client = find(host, token)?;
            let reply = client.ask(Method::GET, "/readyz", Bytes::new(), LOOK_TIME);
            ready(reply, json, &host.arguments())
        }
    }
}

/// A request that changes a participant's rules.
struct Change {
    method: Method,
    /// Below the participant, with its query.
    resource: String,
    body: Bytes,
    /// The work of the host, for the progress line.
    checked: String,
}

/// The request for a component, or for settings alone.
fn change(
    component: Option<Bytes>,
    settings: &SettingsChange,
    flags: Flags,
    acknowledged: Option<&str>,
) -> Change {
    match component {
        Some(body) => Change {
            method: Method::PUT,
            resource: format!("component{}", query(flags, settings, acknowledged)),
            checked: format!("{} KiB are checked", body.len() >> 10),
            body,
        },
        None => {
            let query = query(flags, &SettingsChange::default(), acknowledged);
            Change {
                method: Method::PATCH,
                resource: format!("settings{query}"),
                body: json!(settings.to_patch()).to_string().into(),
                checked: "the settings are checked".to_owned(),
            }
        }
    }
}

fn apply(
    client: &AdminClient,
    participant: &str,
    change: Change,
    json: bool,
) -> Result<String, CommandFailure> {
    // Look first: a host that refuses the token or doesn't know the participant answers
    // before it has read the whole component, and its answer might be lost.
    let look = format!("/participants/{participant}/generations");
    let looked = client.ask(Method::GET, &look, Bytes::new(), LOOK_TIME);
    understand::<ParticipantOverview>(looked, json)?;
    let path = format!("/participants/{participant}/{}", change.resource);
    let progress = ProgressLine::of(&format!("{participant}: {}", change.checked));
    let reply = client.ask(change.method, &path, change.body, SWAP_TIME);
    drop(progress);
    shown(reply, json, table::applied)
}

fn roll_back(
    client: &AdminClient,
    participant: &str,
    digest: Option<&str>,
    flags: Flags,
) -> Result<AdminReply, AdminClientError> {
    let query = query(flags, &SettingsChange::default(), None);
    let path = format!("/participants/{participant}/rollback{query}");
    let body = match digest {
        Some(digest) => json!({"digest": digest}).to_string(),
        None => String::new(),
    };
    let _progress = ProgressLine::of(&format!("{participant}: an earlier generation is checked"));
    client.ask(Method::POST, &path, body.into(), SWAP_TIME)
}

/// The query of the admin interface for these flags and settings, and the change set that is
/// acknowledged.
fn query(flags: Flags, settings: &SettingsChange, acknowledged: Option<&str>) -> String {
    let mut query: Vec<_> = flags.names().map(|name| format!("{name}=true")).collect();
    if !settings.is_empty() {
        let patch = json!(settings.to_patch()).to_string();
        query.push(format!("settings={}", percent_encode(&patch)));
    }
    if let Some(change_set) = acknowledged {
        query.push(format!("{ACKNOWLEDGE}={}", percent_encode(change_set)));
        query.push(format!("by={}", percent_encode(&user())));
    }
    if query.is_empty() {
        return String::new();
    }
    format!("?{}", query.join("&"))
}

/// The generations from the host; if none runs, from its store.
fn generations(
    host: &HostAddress,
    token: Option<Token>,
    participant: Option<&str>,
    json: bool,
) -> Result<String, CommandFailure> {
    let path = participant.map_or_else(
        || "/generations".to_owned(),
        |name| format!("/participants/{name}/generations"),
    );
    let of_host = |reply| match participant.is_some() {
        true => shown(reply, json, |one| of_one(one, &host.arguments())),
        false => shown(reply, json, |all| table::overview(all, &host.arguments())),
    };
    let of_store = |data: &StoreLocation| stored_generations(data, participant, json);
    ask_or_read((host, token), &path, of_host, of_store)
}

/// Asks the host for what is at this path. If none can be asked on its data directory, reads the
/// store there.
pub(super) fn ask_or_read(
    (host, token): (&HostAddress, Option<Token>),
    path: &str,
    of_host: impl FnOnce(Result<AdminReply, AdminClientError>) -> Result<String, CommandFailure>,
    of_store: impl FnOnce(&StoreLocation) -> Result<String, CommandFailure>,
) -> Result<String, CommandFailure> {
    let client = match (find(host, token), host) {
        (Err(failure), HostAddress::Data(data)) if failure.code == exit::UNAVAILABLE => {
            return of_store(data);
        }
        (found, _) => found?,
    };
    let reply = client.ask(Method::GET, path, Bytes::new(), LOOK_TIME);
    match (reply, host) {
        // A host that crashed has left its address behind.
        (Err(AdminClientError::NotReached(..)), HostAddress::Data(data)) => of_store(data),
        (reply, _) => of_host(reply),
    }
}

/// The store of a data directory on which no host can be asked.
pub(super) fn stored_at(data: &StoreLocation) -> Result<Box<dyn ReadStore>, CommandFailure> {
    let unavailable = |reason: String| {
        let said = format!("no host can be asked on {data}; {reason}{}", beside(data));
        CommandFailure::new(exit::UNAVAILABLE, said)
    };
    (data.look())
        .map_err(|error| unavailable(error.to_string()))?
        .ok_or_else(|| unavailable("there is no store".into()))
}

/// The failure of a command whose store can't be read.
pub(super) fn unreadable(fault: StoreFault) -> CommandFailure {
    CommandFailure::new(exit::STORE, format!("the store can't be read: {fault}"))
}

fn stored_generations(
    data: &StoreLocation,
    participant: Option<&str>,
    json: bool,
) -> Result<String, CommandFailure> {
    let overview = rollout::offline_overview(data, participant).map_err(|error| {
        let code = match error {
            NotApplied::UnknownParticipant(..) => exit::USAGE,
            _ => exit::UNAVAILABLE,
        };
        let said = format!("no host can be asked on {data}; {error}{}", beside(data));
        CommandFailure::new(code, said)
    })?;
    if !json {
        let mut lines = Lines::default();
        lines.add(format_args!(
            "No host can be asked on {data}; this is what is in its store."
        ));
        lines.space();
        // Without a host no file is compared, so no command is named.
        return Ok(lines.text() + &table::overview(&overview, ""));
    }
    match (participant, &overview.participants[..]) {
        (Some(_), [one]) => json_line(one),
        _ => json_line(&overview),
    }
}

fn of_one(participant: &ParticipantOverview, at: &str) -> String {
    let one = Overview {
        participants: vec![participant.clone()],
    };
    table::overview(&one, at)
}

/// The token from the file, else from the environment.
pub(super) fn token(file: Option<&Path>) -> Result<Option<Token>, CommandFailure> {
    let bad = |reason: String| CommandFailure::new(exit::USAGE, reason);
    match file {
        Some(path) => Token::read(path)
            .map(Some)
            .map_err(|reason| bad(format!("--token-file: {reason}"))),
        None => std::env::var_os(TOKEN_VARIABLE)
            .map(|text| Token::new(&text.to_string_lossy()))
            .transpose()
            .map_err(|reason| bad(format!("{TOKEN_VARIABLE}: the value {reason}"))),
    }
}

/// The component's bytes, from a file or, for `-`, from standard input.
pub(super) fn read_component(path: &Path) -> Result<Bytes, CommandFailure> {
    let refused = |reason: String| {
        CommandFailure::new(
            exit::COMPONENT,
            format!("component {}: {reason}", path.display()),
        )
    };
    let bytes = named_file::read(path, COMPONENT_BYTES).map_err(refused)?;
    if bytes.is_empty() {
        return Err(refused("is empty".into()));
    }
    Ok(bytes.into())
}

/// The client for this host.
pub(super) fn find(
    host: &HostAddress,
    token: Option<Token>,
) -> Result<AdminClient, CommandFailure> {
    let url = match host {
        HostAddress::Url(url) => url.clone(),
        HostAddress::Data(StoreLocation::Server(address)) => {
            let said = format!(
                "which host runs on the store {address} is not known; name its admin interface with --admin URL"
            );
            return Err(CommandFailure::new(exit::UNAVAILABLE, said));
        }
        HostAddress::Data(StoreLocation::Directory(directory)) => {
            admin_file::read(directory)
                .and_then(|file| file.ok_or_else(|| no_host(directory)))
                .map_err(|reason| CommandFailure::new(exit::UNAVAILABLE, reason))?
                .url
        }
    };
    AdminClient::new(&url, token).map_err(|reason| CommandFailure::new(exit::USAGE, reason))
}

/// The same for a store.
fn beside(data: &StoreLocation) -> String {
    data.directory().map_or_else(String::new, elsewhere)
}

/// The host of another usual data directory here, if one runs: that of `saga dev`, or of `saga run`.
fn elsewhere(directory: &Path) -> String {
    let mut others = USUAL
        .into_iter()
        .filter(|other| Path::new(other) != directory);
    let runs = |other: &&str| matches!(admin_file::read(Path::new(other)), Ok(Some(_)));
    let found = others.find(runs);
    found.map_or_else(String::new, |other| {
        format!("; a host runs on {other}: --data {other}")
    })
}

fn no_host(directory: &Path) -> String {
    let data = directory.display();
    let said = match directory.exists() {
        true => format!(
            "no host with an admin interface runs on the data directory {data}; start one with `saga run`, or say where it is \
             with --data DIR or --admin URL"
        ),
        false => format!(
            "there is no directory {data}; name the host's data directory with --data DIR, or its admin interface with --admin URL"
        ),
    };
    said + &elsewhere(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_that_cannot_be_sent_is_said_before_a_host_is_sought() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty.wasm");
        std::fs::write(&empty, "").unwrap();
        let missing = directory.path().join("none.wasm");
        for (path, expected) in [
            (empty.as_path(), "is empty"),
            (missing.as_path(), "can't be read"),
            (directory.path(), "can't be read"),
        ] {
            let failure = read_component(path).err().unwrap();
            assert_eq!(failure.code, 65);
            let said = failure.said.join("\n");
            assert!(
                said.contains(expected) && said.contains(path.to_str().unwrap()),
                "{said}"
            );
        }
    }
}
