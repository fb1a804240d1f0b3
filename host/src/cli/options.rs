//! The command line of `saga`.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use super::arguments::{SettingsArguments, load, setting};
use super::author::NewProject;
use super::data_argument::DataArgument;
use super::dead_letters::{LettersCommand, LettersOperation};
use super::dev::DevArguments;
use super::exit;
use super::explain::{ExplainArguments, StuckArguments};
use super::journal::{self, JournalCommand};
use super::operate::{DATA, HostAddress, Operation, OperatorCommand};
use super::publish::{PublishArguments, PublishOperation};
use super::repair::{RepairArguments, RepairOperation};
use super::replay::{ReplayArguments, ReplayOperation};
use super::reply::CommandFailure;
use super::rule_arguments::{ApplyArguments, RollbackArguments, VerifyArguments};
use super::seek::Seek;
use super::states::{QuarantineCommand, StatesCommand, StatesOperation};
use super::store::{self, StoreCommand, StoreOperation};
use super::tail::{TailArguments, TailOperation};
use crate::config::Config;
use crate::rollout::cases::Export;
use crate::rollout::verify::Verify;
use crate::store::StoreLocation;

/// A native host for choreography-based sagas whose rules are WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "saga",
    version,
    after_help = help()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Make a folder with a participant to start from: rules, a timer, a compensation, tests
    #[command(after_help = "\
The project holds the SDK of this program in its folder vendor, so it needs crates.io only (or npm, or PyPI), and that
only until its dependencies are downloaded.

Examples:
  saga new loan
  saga new loan --lang typescript
  saga new loan --lang python
  saga new services/seat-reservation
  saga new loan --sdk ../saga/sdk
  saga new loan --sdk https://git.example/saga.git")]
    New(NewProject),
    /// Run the participant of this folder, and swap its rules whenever its sources change
    #[command(mut_arg("data", |arg| arg.help("Directory for the store and compiled code [default: .saga]")),
        mut_arg("config", |arg| arg.help("Settings file (TOML) [default: saga.toml, if there is one]")), after_help = "\
A change is built, tested and checked, and then swapped in; the decisions on recorded messages that would be different are
listed. A failed build, test or check leaves the active rules active, and /readyz of the admin interface says so.
Sources that are saved unchanged are not built. Packages that it or its tests depend on by path are sources too.
Components of other participants are swapped when their files change; nothing is built then. Settings come from
saga.toml in the folder, if there is one: those of rules are taken at the start and at each change, all others at the
start. Only warnings are logged, unless SAGA__LOG__LEVEL says otherwise.

Examples:
  saga dev
  saga dev --reset
  saga dev --listen loan=127.0.0.1:9000
  saga dev --plugin payments=../payments/target/wasm32-wasip2/release/payments.wasm
  saga dev --drop-used --allow-breaking")]
    Dev(DevArguments),
    /// Build, test and check the participant of this folder once, for continuous integration
    #[command(after_help = "\
It ends with 65 if the component does not build, fails a test or is refused.

Examples:
  saga test
  saga test --config saga.toml")]
    Test {
        /// Settings file (TOML) [default: saga.toml in the folder, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say what the toolchain of the project lacks to build components, and how to get it
    #[command(after_help = "\
It ends with 69 if something is missing: cargo, rustc, a linker for programs of this machine (macros and build scripts
are such), the target of components. --json has all that the compiler said. --fix installs the target wasm32-wasip2: with rustup or, where its server can't be
reached, from Debian packages.

Examples:
  saga doctor
  saga doctor --fix
  saga doctor --lang typescript
  saga doctor --json")]
    Doctor {
        /// The language of the rules [default: that of the project of this folder]
        #[arg(long, value_name = "LANGUAGE", value_parser = super::author::languages())]
        lang: Option<String>,
        /// Install the target of components if it is missing
        #[arg(long)]
        fix: bool,
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run the participants until SIGINT or SIGTERM; SIGHUP reads their components and certificates again
    #[command(after_help = "\
Examples:
  saga run --plugin customer=customer.wasm --plugin order=order.wasm
  saga run --config saga.toml
  saga run --plugin order=order.wasm --listen order=0.0.0.0:8443 --data /var/lib/saga-order
  saga run --plugin order=order.wasm --kafka broker-1:9092,broker-2:9092
  SAGA__HTTP__TLS__CERTIFICATE=chain.pem SAGA__HTTP__TLS__KEY=key.pem saga run --config saga.toml")]
    Run(RunArguments),
    /// Print the effective settings, each explained, as a TOML file to start from
    #[command(after_help = "\
Examples:
  saga config > saga.toml
  saga config --config saga.toml --plugin order=order.wasm
  SAGA__STORE__RETENTION_HOURS=24 saga config --json")]
    Config {
        #[command(flatten)]
        settings: SettingsArguments,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a component the active one of a running host, or change the settings of its rules
    #[command(
        override_usage = "\
saga apply [OPTIONS] <NAME> <PATH>
       saga apply [OPTIONS] <NAME> --set <NAME=VALUE>",
        after_help = "\
Without PATH the active component stays, and only the settings of its rules change. Settings that are neither
--set nor --unset stay as they are.

Examples:
  saga apply order order.wasm
  saga apply order order.wasm --dry-run
  saga apply order --set answer_timeout=10s
  saga apply order - < order.wasm
  saga apply order order.wasm --admin http://10.0.0.7:9000 --token-file token"
    )]
    Apply(ApplyArguments),
    /// Check a component without running it
    #[command(after_help = "\
Examples:
  saga verify order.wasm
  saga verify order.wasm --participant order --against released/order.wasm --json
  saga verify order.wasm --with customer.wasm --with shipping.wasm
  saga verify order.wasm --data /var/lib/saga-order
  saga verify order.wasm --data /var/lib/saga-order --fail-on-changed=3
  saga verify order.wasm --data /var/lib/saga-order --set answer_timeout=10s")]
    Verify(VerifyArguments),
    /// Make recorded decisions again, to see which of them other rules would change
    #[command(after_help = "\
Each recorded decision is made again by the candidate, on the state that it was made on; with --counterfactual, on the
state to which the candidate's own decisions on that aggregate led since the first one that is replayed. Effects on other
aggregates and participants are not followed: all messages are the recorded ones. With --self, each decision is made
again by the rules that made it: if it gives another outcome, the rules are not a function of their input.

Nothing is changed, and a host may run on the data directory. It ends with 0 if no decision changed; with 1 if one did,
the candidate fails on one, none could be made again, or with --self not all; and with 65 if the candidate is refused,
or with --self a decision is not the same.

Examples:
  saga replay order --candidate order.wasm --data /var/lib/saga-order
  saga replay order --candidate order.wasm --since 7d --report changes.html
  saga replay order --candidate order.wasm --set answer_timeout=10s --last 10000 --json
  saga replay order --candidate order.wasm --key 17 --counterfactual
  saga replay order --self")]
    Replay(ReplayArguments),
    /// Write recorded decisions as a file
    #[command(after_help = journal::HELP)]
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// List the decisions of a generation that fixed rules make otherwise
    #[command(after_help = "\
Each recorded decision of the generation is made again by the fixed rules, on the state that it was made on. Those that
differ are listed with the recorded and the corrected outcome, in the order of their commits. Later decisions on the
aggregate were made on the recorded outcome, so look at the aggregate before you correct it. Nothing is changed or
published, and a host may run on the data directory. It ends with 0 if there are none and all could be compared, and
otherwise with 1.

Examples:
  saga repair order --generation 3f9c21 --with fixed.wasm
  saga repair order --generation 3f9c21 --with fixed.wasm --data /var/lib/saga-order --json | jq -r '.affected[].key'")]
    Repair(RepairArguments),
    /// Go back to a generation that was active before
    #[command(after_help = "\
Where no host runs, the host starts with that generation: the way back from one with which it does not start.

Examples:
  saga rollback order
  saga rollback order --data /var/lib/saga-order --config saga.toml
  saga rollback order --dry-run
  saga rollback order 3f9c21")]
    Rollback(RollbackArguments),
    /// Show the active generation, former ones, and refused components
    #[command(after_help = "\
Examples:
  saga generations
  saga generations order --json
  saga generations --data /var/lib/saga-order")]
    Generations {
        /// The participant [default: all]
        #[arg(value_name = "NAME", value_parser = participant)]
        participant: Option<String>,
        #[command(flatten)]
        target: HostArguments,
    },
    /// List the hosts on a store: since when, last seen, and what each of them does
    #[command(after_help = "\
A store in a data directory has one host. Of one on PostgreSQL, any host tells of all; without --admin, the store does.
Hosts that have ended are not listed, those that were killed for a day or until another one has their place.

Examples:
  saga hosts
  saga hosts --admin http://10.0.0.7:9000 --token-file token
  saga hosts --data postgres://saga@db.example.com/saga --json")]
    Hosts {
        #[command(flatten)]
        target: HostArguments,
    },
    /// List, show, redrive or discard records that could not be decided
    #[command(after_help = "\
A dead letter blocks its aggregate: later messages wait behind it, in order, until it is redriven and decided,
or discarded ([retry] then = \"skip\" lets them pass). Redrive ends with 0 if all were decided, with 65 if one
failed again, and with 75 if one is still being tried.

With --json, list and show print one document; redrive and discard print one line for each letter, when it is
done: the letter as show prints it, or the problem, with the letter's number as id.

Examples:
  saga dead-letters list
  saga dead-letters list order
  saga dead-letters list order --reason malformed --json
  saga dead-letters show order 12
  saga dead-letters redrive order 12
  saga dead-letters redrive order 12 --edit value.json
  saga dead-letters redrive order --all --reason trap
  saga dead-letters redrive order 12 --through fixed.wasm --dry-run
  saga dead-letters redrive order --all --json | jq -r 'select(.state != \"decided\") | .id'
  saga dead-letters discard order 12")]
    DeadLetters {
        #[command(subcommand)]
        command: LettersCommand,
        #[command(flatten)]
        target: HostArguments,
    },
    /// Migrate the stored states of older versions to the shape of the active rules, under load
    #[command(after_help = "\
States are migrated anyway when they are next read; afterwards, lists and their filters see all of them. It ends
with 65 if some can't be read: those aggregates are quarantined.

Examples:
  saga migrate order
  saga migrate order --data /var/lib/saga-order --json")]
    Migrate {
        /// The participant
        #[arg(value_name = "NAME", value_parser = participant)]
        participant: String,
        #[command(flatten)]
        target: HostArguments,
    },
    /// List or release aggregates whose states the active rules can't read
    #[command(after_help = "\
Messages of a quarantined aggregate wait, in order. It is released by a swap to rules that read its state; release
lets the active rules read it again, after a limit was raised, say, and ends with 65 if they still can't.

Examples:
  saga quarantine list order
  saga quarantine release order 17")]
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
        #[command(flatten)]
        target: HostArguments,
    },
    /// Show a saga: what each participant decided, what caused it, and what is still expected
    #[command(after_help = "\
The saga is the one in which the aggregate took part last. Its decisions stand below the decision that caused them: what
came in, the difference of the state, reply or refusal, events and timers. The store is read, of a stopped host or beside
a running one. What other hosts did with an event is not known there. A value is cut to fit the line; --json has all.

Examples:
  saga explain order 17
  saga explain order 17 --data /var/lib/saga-order --json
  saga explain customer 1 --all
  saga explain --correlation shop-17
  saga explain order 17 --with new.wasm")]
    Explain(ExplainArguments),
    /// List the sagas that have waited for something for long
    #[command(after_help = "\
A saga waits for an event that a participant of this store has not decided, for a timer, for a parked message, or for an
operator to act on a dead letter. Those that have waited longest come first. It ends with 0 if there are none, with 1 if
there are some. A timer counts since the message was made whose decision set it, whenever it is due.

Examples:
  saga stuck
  saga stuck --older-than 1h --participant order
  saga stuck --older-than 30s --data /var/lib/saga-order --json")]
    Stuck(StuckArguments),
    /// Print the records of a topic of the embedded log
    #[command(after_help = "\
One line for each record: time, partition/offset, key, type, value. Records of one partition come in the order of
their offsets; with several partitions, records are ordered by time. Nothing is consumed, and no reader is held up.
Where no host runs, the records in its store are printed. With --follow, a host that is restarted is waited for. Over
Kafka, use Kafka's own tools.

Examples:
  saga tail orderTopic
  saga tail orderTopic --follow
  saga tail orderTopic --from 1200 --limit 10 --json
  saga tail orderTopic --key 17 --data /var/lib/saga-order")]
    Tail {
        #[command(flatten)]
        asked: TailArguments,
        #[command(flatten)]
        target: HostArguments,
    },
    /// Publish a record to a topic of the embedded log of a running host
    #[command(after_help = "\
The record is refused (65) if a participant that reads the topic can't read it, if its value can't be read as the
subscription's schema says, or if nobody takes its type or one of its headers. What the rules decide is not tried. The
host logs who has published it. A record without --id gets a new id; with the same --id and --source, a record that is
published again is applied once.

Examples:
  saga publish customerTopic '{\"id\": 1, \"state\": \"APPROVED\"}' --type customer-answered
  saga publish customerTopic @answer-1.json --type customer-answered --event-version 1 --header x-tenant=acme
  saga publish customerTopic @answer.json --type customer-answered --id answer-1
  saga publish customerTopic - < answer.json")]
    Publish {
        #[command(flatten)]
        record: PublishArguments,
        #[command(flatten)]
        target: HostArguments,
    },
    /// Report if a host takes requests, and its state
    #[command(after_help = "\
It ends with 0 if the host takes requests, with 75 if it does not at the moment, and with 69 if none is there.

Examples:
  saga ready
  saga ready --data /var/lib/saga-order --json
  until saga ready --data /var/lib/saga-order; do sleep 1; done")]
    Ready {
        #[command(flatten)]
        target: HostArguments,
    },
    /// Set the offset at which a stopped host resumes a partition
    #[command(after_help = "\
For a partition whose log is not the one that was read: the host says so, with the offsets between which the
log goes now. What is read again is not applied again where it has a ce_id; without one, records are known
by their offsets and content, and --as-new applies them again all the same.

Examples:
  saga seek orderTopic 0 1200 --data /var/lib/saga-customer
  saga seek orderTopic 0 1200 --group order --as-new --data /var/lib/saga-customer")]
    Seek(Seek),
    /// Copy a data directory, even while a host runs on it
    #[command(after_help = "\
The copy is a data directory: to restore it, stop the host, move its data directory away and put a copy of the backup in its place.

Examples:
  saga backup /backup/saga-$(date +%F)
  saga backup --data /var/lib/saga /backup/saga-$(date +%F) --json")]
    Backup {
        /// The directory to create; it must not exist yet
        #[arg(value_name = "TARGET")]
        target: PathBuf,
        /// The data directory
        #[arg(long, value_name = "DIR", default_value = DATA)]
        data: DataArgument,
        /// Print what was copied, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a store to another place, or check it
    #[command(after_help = store::HELP)]
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Print a shell's completion script
    #[command(after_help = "\
Examples:
  saga completions bash > ~/.local/share/bash-completion/completions/saga
  saga completions zsh > ~/.zfunc/_saga        (with fpath+=~/.zfunc before compinit in ~/.zshrc)
  saga completions fish > ~/.config/fish/completions/saga.fish
  saga completions elvish >> ~/.config/elvish/rc.elv
  saga completions powershell >> $PROFILE")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The text below the list of commands.
fn help() -> String {
    format!(
        "\
Examples:
  saga new loan && cd loan && saga dev
  saga run --plugin customer=customer.wasm --plugin order=order.wasm
  saga run --config saga.toml
  saga run --plugin order=order.wasm --kafka broker:9092 --data /var/lib/saga-order
  saga config > saga.toml
  saga verify order.wasm
  saga apply order order.wasm
  saga generations
  saga rollback order
  saga dead-letters list
  saga explain order 17
  saga stuck --older-than 1h
  saga tail orderTopic --follow
  saga backup /backup/saga
  saga store check
  saga ready --json
  saga help apply

Settings can be given as SAGA__SECTION__KEY in the environment too; `saga config` prints and explains
those in effect.

Exit codes:
{}",
        exit::table()
    )
}

/// The completion script for this shell.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "saga", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Take the components at the given paths even where another generation was active before
    #[arg(long)]
    apply: bool,
}

/// The host to ask, and the form of the output.
#[derive(Debug, Args)]
pub(super) struct HostArguments {
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, global = true, value_name = "DIR|URL", default_value = DATA)]
    pub(super) data: DataArgument,
    /// The URL of its admin interface, instead of its data directory
    #[arg(long, global = true, value_name = "URL", conflicts_with = "data")]
    admin: Option<String>,
    /// A file with the token of the admin interface [default: SAGA__ADMIN__TOKEN in the environment]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print everything, as JSON
    #[arg(long, global = true)]
    json: bool,
}

/// The action that the command line asks for.
pub(crate) enum CliAction {
    New(NewProject),
    Dev(DevArguments),
    Test {
        config: Option<PathBuf>,
    },
    Doctor {
        lang: Option<String>,
        fix: bool,
        json: bool,
    },
    Run(Box<Config>),
    PrintConfig {
        config: Box<Config>,
        json: bool,
    },
    Completions(Shell),
    Operate(Operation),
    DeadLetters(LettersOperation),
    States(StatesOperation),
    Explain {
        config: Box<Config>,
        asked: ExplainArguments,
    },
    Stuck(StuckArguments),
    Tail(TailOperation),
    Publish(PublishOperation),
    Seek(Seek),
    Backup {
        data: StoreLocation,
        target: PathBuf,
        json: bool,
    },
    Store(StoreOperation),
    Export(Export),
    Repair(Box<RepairOperation>),
    Replay(Box<ReplayOperation>),
    Verify {
        config: Box<Config>,
        request: Verify,
        /// Recorded inputs that it may decide differently; `None` for any number.
        may_change: Option<usize>,
        json: bool,
    },
}

impl Cli {
    /// The action, with its settings.
    pub(crate) fn action(self) -> Result<CliAction, CommandFailure> {
        Ok(match self.command {
            CliCommand::New(request) => CliAction::New(request),
            CliCommand::Dev(request) => CliAction::Dev(request),
            CliCommand::Test { config } => CliAction::Test { config },
            CliCommand::Doctor { lang, fix, json } => CliAction::Doctor { lang, fix, json },
            CliCommand::Run(RunArguments { settings, apply }) => {
                let apply =
                    apply.then(|| setting(&["reload", "apply_at_start"], "true", "--apply"));
                CliAction::Run(settings.load(apply)?.into())
            }
            CliCommand::Config { settings, json } => CliAction::PrintConfig {
                config: settings.load(None)?.into(),
                json,
            },
            CliCommand::DeadLetters { command, target } => {
                CliAction::DeadLetters(LettersOperation {
                    command,
                    host: target.address()?,
                    token_file: target.token_file,
                    json: target.json,
                })
            }
            CliCommand::Migrate {
                participant,
                target,
            } => target.states(StatesCommand::Migrate(participant))?,
            CliCommand::Quarantine { command, target } => {
                target.states(StatesCommand::Quarantine(command))?
            }
            CliCommand::Explain(asked) => CliAction::Explain {
                config: load(asked.config.as_deref(), Vec::new())?.into(),
                asked,
            },
            CliCommand::Stuck(asked) => CliAction::Stuck(asked),
            CliCommand::Tail { asked, target } => CliAction::Tail(TailOperation {
                asked,
                host: target.address()?,
                token_file: target.token_file,
                json: target.json,
            }),
            CliCommand::Publish { record, target } => CliAction::Publish(PublishOperation {
                record,
                host: target.address()?,
                token_file: target.token_file,
                json: target.json,
            }),
            CliCommand::Hosts { target } => target.operation(OperatorCommand::Hosts)?,
            CliCommand::Ready { target } => target.operation(OperatorCommand::Ready)?,
            CliCommand::Seek(request) => CliAction::Seek(request),
            CliCommand::Backup { target, data, json } => CliAction::Backup {
                data: data.location(None)?,
                target,
                json,
            },
            CliCommand::Store { command } => CliAction::Store(command.operation()?),
            CliCommand::Completions { shell } => CliAction::Completions(shell),
            CliCommand::Apply(arguments) => arguments.action()?,
            CliCommand::Verify(arguments) => arguments.action()?,
            CliCommand::Journal { command } => CliAction::Export(command.export()?),
            CliCommand::Repair(arguments) => CliAction::Repair(arguments.operation()?.into()),
            CliCommand::Replay(arguments) => CliAction::Replay(arguments.operation()?.into()),
            CliCommand::Rollback(arguments) => arguments.action()?,
            CliCommand::Generations {
                participant,
                target,
            } => target.operation(OperatorCommand::Generations { participant })?,
        })
    }
}

impl HostArguments {
    fn address(&self) -> Result<HostAddress, CommandFailure> {
        Ok(match &self.admin {
            Some(url) => HostAddress::Url(url.clone()),
            None => HostAddress::Data(self.data.given(None)?),
        })
    }

    fn states(self, command: StatesCommand) -> Result<CliAction, CommandFailure> {
        Ok(CliAction::States(StatesOperation {
            command,
            host: self.address()?,
            token_file: self.token_file,
            json: self.json,
        }))
    }

    pub(super) fn operation(self, ask: OperatorCommand) -> Result<CliAction, CommandFailure> {
        Ok(CliAction::Operate(Operation {
            ask,
            host: self.address()?,
            token_file: self.token_file,
            json: self.json,
        }))
    }
}

/// Checks the name of a participant, which becomes part of a path.
pub(super) fn participant(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || !text.chars().all(fits) {
        return Err("names of participants have lower-case letters, digits and `-`".into());
    }
    Ok(text.to_owned())
}
