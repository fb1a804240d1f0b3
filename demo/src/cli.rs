//! The command line of `saga-demo`.
//!
//! Owns: options, their defaults, and the place of a walk's state.
//!
//! Must not know: the steps of a walk.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use saga_demo::cluster::ClusterOptions;
use saga_demo::fulfilment::FulfilmentFiles;
use saga_demo::walk::WalkOptions;
use saga_demo_client::files::{Binaries, ServicePorts, component, target};
use saga_testkit::kafka::cluster::{BOOTSTRAP, KafkaChoice};

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
    Fulfilment {
        #[command(flatten)]
        files: FulfilmentFiles,
        /// Directory for the state and the log
        #[arg(long, value_name = "DIR", default_value_os_t = target().join("demo-fulfilment"))]
        data: PathBuf,
    },
    /// Start the same saga with rules in Rust, TypeScript and Python, swap the rules of one participant between the
    /// languages under load, check requests, decisions and books, and end.
    Languages {
        #[command(flatten)]
        files: FulfilmentFiles,
        /// Directory of the components in other languages
        #[arg(long, value_name = "DIR", default_value_os_t = target().join("languages"))]
        languages: PathBuf,
        /// Directory for the state and the log
        #[arg(long, value_name = "DIR", default_value_os_t = target().join("demo-languages"))]
        data: PathBuf,
    },
    /// Start three hosts on one PostgreSQL server, with Kafka if it can run here; kill one, pause one, swap rules on all
    /// under load, check the books, and end.
    Cluster(ClusterArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    binaries: Binaries,
    /// The build of the customer's rules to swap to
    #[arg(long, value_name = "PATH", default_value_os_t = component("customer_cautious"))]
    cautious: PathBuf,
    /// Use the embedded log although Kafka can run here
    #[arg(long)]
    without_kafka: bool,
}

impl ClusterArgs {
    /// The options of the walk, with the Kafka named in the environment.
    pub(crate) fn options(self, environment: Option<String>) -> ClusterOptions {
        let data = target().join("demo-cluster");
        let named = environment.filter(|bootstrap| !bootstrap.is_empty());
        let own = || KafkaChoice::Own {
            directory: data.join("broker"),
            for_speed: false,
        };
        let kafka = named.map_or_else(own, KafkaChoice::Existing);
        ClusterOptions {
            binaries: self.binaries,
            cautious: self.cautious,
            kafka: (!self.without_kafka).then_some(kafka),
            data,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WalkArgs {
    #[command(flatten)]
    binaries: Binaries,
    /// The build of the customer's rules to swap to
    #[arg(long, value_name = "PATH", default_value_os_t = component("customer_cautious"))]
    cautious: PathBuf,
    /// The build of the customer's rules with a bug, which is repaired at the end
    #[arg(long, value_name = "PATH", default_value_os_t = component("customer_faulty"))]
    faulty: PathBuf,
    /// Run each service as a process of its own, over a real Kafka: one that is started here, or the
    /// one that --bootstrap or KAFKA_BOOTSTRAP names
    #[arg(long)]
    kafka: bool,
    /// The Kafka that is there; the environment variable KAFKA_BOOTSTRAP says the same
    #[arg(long, value_name = "HOST:PORT", requires = "kafka")]
    bootstrap: Option<String>,
    /// End after the walk; exit code 0 only if everything was as it must be
    #[arg(long)]
    once: bool,
    /// Directory for the state and the logs [default: target/demo-data, with --kafka a directory for
    /// each cluster in it]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of the customer service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    customer_port: u16,
    /// Port of the order service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    order_port: u16,
}

impl WalkArgs {
    /// The options of the walk, with the Kafka named in the environment. Each cluster has a directory
    /// of its own, since the hosts store the offsets that they have read.
    pub(crate) fn options(self, environment: Option<String>) -> WalkOptions {
        let named = self.bootstrap.or(environment);
        let named = named.filter(|bootstrap| !bootstrap.is_empty());
        let directory = match &named {
            _ if !self.kafka => "demo-data".to_owned(),
            Some(at) => {
                let name = at.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
                format!("demo-data/kafka-at-{name}")
            }
            None => "demo-data/kafka".to_owned(),
        };
        let data = self.data.unwrap_or_else(|| target().join(directory));
        let kafka = named.map_or_else(
            || KafkaChoice::Own {
                directory: data.join("broker"),
                for_speed: false,
            },
            KafkaChoice::Existing,
        );
        WalkOptions {
            binaries: self.binaries,
            cautious: self.cautious,
            faulty: self.faulty,
            data,
            ports: ServicePorts {
                customer: self.customer_port,
                order: self.order_port,
            },
            kafka: self.kafka.then_some(kafka),
            once: self.once,
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

    fn parsed(line: &str) -> Task {
        Cli::try_parse_from(line.split(' ')).unwrap().command
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_kafka_has_a_state_of_its_own() {
        let own = |data: PathBuf| {
            Some(KafkaChoice::Own {
                directory: data.join("broker"),
                for_speed: false,
            })
        };
        let existing = |at: &str| Some(KafkaChoice::Existing(at.to_owned()));
        let data = target().join("demo-data");
        let kafka = data.join("kafka");
        for (options, environment, data, choice) in [
            ("", Some("k:1"), data.clone(), None),
            (" --kafka", None, kafka.clone(), own(kafka.clone())),
            (" --kafka", Some(""), kafka.clone(), own(kafka)),
            (
                " --kafka",
                Some("k:1"),
                data.join("kafka-at-k-1"),
                existing("k:1"),
            ),
            (
                " --kafka --bootstrap l:2 --data d",
                Some("k:1"),
                "d".into(),
                existing("l:2"),
            ),
        ] {
            let Task::Walk(args) = parsed(&format!("saga-demo walk{options}")) else {
                panic!("it is a walk");
            };
            let found = args.options(environment.map(str::to_owned));
            assert_eq!((found.data, found.kafka), (data, choice), "{options}");
        }
    }

    #[test]
    fn the_walks_through_the_fulfilment_saga_have_states_of_their_own() {
        let Task::Fulfilment { files, data } = parsed("saga-demo fulfilment --saga s") else {
            panic!("it is the fulfilment walk");
        };
        assert_eq!(
            (files.saga, data),
            ("s".into(), target().join("demo-fulfilment"))
        );
        let Task::Languages {
            languages, data, ..
        } = parsed("saga-demo languages")
        else {
            panic!("it is the walk through the languages");
        };
        assert_eq!(languages, target().join("languages"));
        assert_eq!(data, target().join("demo-languages"));
    }

    #[test]
    fn a_cluster_without_kafka_is_refused() {
        let parsed = Cli::try_parse_from(["saga-demo", "walk", "--bootstrap", "k:1"]);
        assert!(parsed.is_err());
    }
}
