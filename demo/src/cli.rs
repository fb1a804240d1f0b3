//! The command line of `saga-demo`.
//!
//! Owns: options, their defaults, and the place of a walk's state.
//!
//! Must not know: the steps of a walk.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use saga_demo::cluster::ClusterOptions;
use saga_demo::files::{self, Files, ServicePorts};
use saga_demo::fulfilment::{FulfilmentFiles, LanguagesFiles};
use saga_demo::kafka::cluster::{BOOTSTRAP, KafkaChoice};

/// The Customer/Order saga, step by step. `saga-bench` has the load generator and the benchmarks.
#[derive(Debug, Parser)]
#[command(name = "saga-demo", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Start a host, or Kafka and two hosts, and walk through the saga step by step, then leave the
    /// services up.
    Walk(WalkArgs),
    /// Start a host with the four participants of the fulfilment saga and the adapter of a payment gateway, walk
    /// through it step by step, check the books, and end.
    Fulfilment(FulfilmentArgs),
    /// Start the same saga with rules in Rust, TypeScript and Python, swap the rules of one participant between the
    /// languages under load, check requests, decisions and books, and end.
    Languages(LanguagesArgs),
    /// Start three hosts on one PostgreSQL server, with Kafka if it can run here; kill one, pause one, swap rules on all
    /// under load, check the books, and end.
    Cluster(ClusterArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The build of the customer's rules to swap to [default:
    /// target/wasm32-wasip2/release/customer_cautious.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) cautious: Option<PathBuf>,
    /// Use the embedded log although Kafka can run here
    #[arg(long)]
    pub(crate) without_kafka: bool,
}

impl ClusterArgs {
    /// The options of the walk, with the Kafka named in the environment.
    pub(crate) fn options(self, target: &Path, environment: Option<String>) -> ClusterOptions {
        let data = target.join("demo-cluster");
        let named = environment.filter(|bootstrap| !bootstrap.is_empty());
        let own = || KafkaChoice::Own {
            directory: data.join("broker"),
            for_speed: false,
        };
        let kafka = named.map_or_else(own, KafkaChoice::Existing);
        ClusterOptions {
            binaries: self.files.binaries(target),
            cautious: files::cautious(self.cautious, target),
            kafka: (!self.without_kafka).then_some(kafka),
            data,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct FulfilmentArgs {
    /// The host [default: target/release/saga]
    #[arg(long, value_name = "PATH")]
    pub(crate) saga: Option<PathBuf>,
    /// Directory of the components [default: target/wasm32-wasip2/release]
    #[arg(long, value_name = "DIR")]
    pub(crate) components: Option<PathBuf>,
    /// Directory for the state and the log [default: target/demo-fulfilment or demo-languages]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

impl FulfilmentArgs {
    /// The files of the walk, with the defaults of this target directory.
    pub(crate) fn files(self, target: &Path) -> FulfilmentFiles {
        FulfilmentFiles {
            saga: self.saga.unwrap_or_else(|| target.join("release/saga")),
            components: (self.components).unwrap_or_else(|| target.join("wasm32-wasip2/release")),
            data: self.data.unwrap_or_else(|| target.join("demo-fulfilment")),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LanguagesArgs {
    #[command(flatten)]
    pub(crate) fulfilment: FulfilmentArgs,
    /// Directory of the components in other languages [default: target/languages]
    #[arg(long, value_name = "DIR")]
    pub(crate) languages: Option<PathBuf>,
}

impl LanguagesArgs {
    /// The files of the walk, with the defaults of this target directory.
    pub(crate) fn files(mut self, target: &Path) -> LanguagesFiles {
        // Each walk has a state of its own.
        let data = self.fulfilment.data.take();
        self.fulfilment.data = Some(data.unwrap_or_else(|| target.join("demo-languages")));
        LanguagesFiles {
            fulfilment: self.fulfilment.files(target),
            languages: (self.languages).unwrap_or_else(|| target.join("languages")),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WalkArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    /// The build of the customer's rules to swap to [default:
    /// target/wasm32-wasip2/release/customer_cautious.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) cautious: Option<PathBuf>,
    /// The build of the customer's rules with a bug, which is repaired at the end [default:
    /// target/wasm32-wasip2/release/customer_faulty.wasm]
    #[arg(long, value_name = "PATH")]
    pub(crate) faulty: Option<PathBuf>,
    /// Run each service as a process of its own, over a real Kafka: one that is started here, or the
    /// one that --bootstrap or KAFKA_BOOTSTRAP names
    #[arg(long)]
    pub(crate) kafka: bool,
    /// The Kafka that is there; the environment variable KAFKA_BOOTSTRAP says the same
    #[arg(long, value_name = "HOST:PORT", requires = "kafka")]
    pub(crate) bootstrap: Option<String>,
    /// End after the walk; exit code 0 only if everything was as it must be
    #[arg(long)]
    pub(crate) once: bool,
    /// Directory for the state and the logs [default: target/demo-data, with --kafka a directory for
    /// each cluster in it]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Port of the customer service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) customer_port: u16,
    /// Port of the order service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    pub(crate) order_port: u16,
}

impl WalkArgs {
    /// The ports of the services.
    pub(crate) fn ports(&self) -> ServicePorts {
        ServicePorts {
            customer: self.customer_port,
            order: self.order_port,
        }
    }

    /// The directory of the state, and the source of Kafka. Each cluster has a directory of its
    /// own, since the hosts store the offsets that they have read.
    pub(crate) fn place(
        &self,
        target: &Path,
        environment: Option<String>,
    ) -> (PathBuf, Option<KafkaChoice>) {
        let given = self.data.clone();
        let default = target.join("demo-data");
        if !self.kafka {
            return (given.unwrap_or(default), None);
        }
        let named = self.bootstrap.clone().or(environment);
        match named.filter(|bootstrap| !bootstrap.is_empty()) {
            Some(bootstrap) => {
                let name = bootstrap.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
                let data = given.unwrap_or_else(|| default.join(format!("kafka-at-{name}")));
                (data, Some(KafkaChoice::Existing(bootstrap)))
            }
            None => {
                let data = given.unwrap_or_else(|| default.join("kafka"));
                let wanted = KafkaChoice::Own {
                    directory: data.join("broker"),
                    for_speed: false,
                };
                (data, Some(wanted))
            }
        }
    }
}

/// The Kafka named in the environment.
pub(crate) fn environment() -> Option<String> {
    std::env::var(BOOTSTRAP).ok()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn place(arguments: &[&str], environment: Option<&str>) -> (String, Option<KafkaChoice>) {
        let arguments = ["saga-demo", "walk"].iter().chain(arguments);
        let Task::Walk(args) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("it is a walk");
        };
        let (data, wanted) = args.place(Path::new("t"), environment.map(str::to_owned));
        (data.display().to_string(), wanted)
    }

    #[test]
    fn each_kafka_has_a_state_of_its_own() {
        let existing = |at: &str| Some(KafkaChoice::Existing(at.to_owned()));
        assert_eq!(place(&[], Some("k:1")), ("t/demo-data".to_owned(), None));
        let own = Some(KafkaChoice::Own {
            directory: "t/demo-data/kafka/broker".into(),
            for_speed: false,
        });
        assert_eq!(
            place(&["--kafka"], None),
            ("t/demo-data/kafka".to_owned(), own.clone())
        );
        assert_eq!(place(&["--kafka"], Some("")).1, own);
        assert_eq!(
            place(&["--kafka"], Some("k:1")),
            ("t/demo-data/kafka-at-k-1".to_owned(), existing("k:1"))
        );
        assert_eq!(
            place(
                &["--kafka", "--bootstrap", "l:2", "--data", "d"],
                Some("k:1")
            ),
            ("d".to_owned(), existing("l:2"))
        );
    }

    #[test]
    fn the_fulfilment_walk_has_default_files_and_options_for_others() {
        let files = |arguments: &[&str]| {
            let arguments = ["saga-demo", "fulfilment"].iter().chain(arguments);
            let Task::Fulfilment(args) = Cli::try_parse_from(arguments).unwrap().command else {
                panic!("it is the fulfilment walk");
            };
            let files = args.files(Path::new("t"));
            [files.saga, files.components, files.data].map(|path| path.display().to_string())
        };
        assert_eq!(
            files(&[]),
            [
                "t/release/saga",
                "t/wasm32-wasip2/release",
                "t/demo-fulfilment"
            ]
        );
        let given = files(&["--saga", "s", "--components", "c", "--data", "d"]);
        assert_eq!(given, ["s", "c", "d"]);
    }

    #[test]
    fn the_walk_through_the_languages_has_a_state_of_its_own() {
        let parsed = Cli::try_parse_from(["saga-demo", "languages", "--saga", "s"]).unwrap();
        let Task::Languages(args) = parsed.command else {
            panic!("it is the walk through the languages");
        };
        let files = args.files(Path::new("t"));
        assert_eq!(files.languages, Path::new("t/languages"));
        assert_eq!(files.fulfilment.data, Path::new("t/demo-languages"));
        assert_eq!(files.fulfilment.saga, Path::new("s"));
    }

    #[test]
    fn a_cluster_without_kafka_is_refused() {
        let parsed = Cli::try_parse_from(["saga-demo", "walk", "--bootstrap", "k:1"]);
        assert!(parsed.is_err());
    }
}
