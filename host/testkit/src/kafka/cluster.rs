//! The Kafka of a run: its own broker, or an existing cluster.
//!
//! Owns: the choice between the two, the advice if neither is available, and the commands with
//! Kafka's own tools for a reader. A broker of the run ends with it, however it ends.
//!
//! Must not know: topics, hosts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::{Broker, Settings};
use anyhow::{Context, Result, anyhow};

use super::{ANSWERED_WITHIN, off_thread, topics};
use crate::usage::Process;

/// The environment variable that names an existing cluster.
pub const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP";

/// How to run a Kafka with Docker, without Java.
pub const WITH_DOCKER: &str = "docker compose -f demo/compose.yaml up -d";

/// Options of the JVM for a benchmark: the heap size of Kafka's own scripts, and the optimizing
/// compiler.
const FOR_SPEED: [&str; 3] = ["-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4"];

/// The wanted Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaChoice {
    /// A broker for this run.
    Own {
        /// The directory of its data.
        directory: PathBuf,
        /// True to tune it for speed rather than for a quick start and little memory.
        for_speed: bool,
    },
    /// An existing one, at `HOST:PORT`.
    Existing(String),
}

/// A Kafka that answers. The run's own broker is killed on drop.
#[derive(Debug)]
pub struct Cluster {
    /// `HOST:PORT`.
    pub bootstrap: String,
    /// The run's own broker; None for an existing cluster.
    pub own: Option<Own>,
}

/// The run's own broker.
#[derive(Debug)]
pub struct Own {
    /// Its process.
    pub process: Process,
    /// Time from the start of the process to its first answer.
    pub ready_after: Duration,
    broker: Arc<Broker>,
}

impl Cluster {
    /// Starts a broker, or connects to an existing one.
    ///
    /// # Errors
    /// No broker can be run here ([`crate::broker::Unavailable`]), it does not start, or
    /// nothing answers; the text says what to do.
    pub async fn open(wanted: &KafkaChoice) -> Result<Self> {
        match wanted {
            KafkaChoice::Existing(bootstrap) => {
                let answers = topics::answers(bootstrap, ANSWERED_WITHIN).await;
                answers.map_err(|error| {
                    anyhow!(
                        "{error}: start one (`{WITH_DOCKER}`), correct {BOOTSTRAP}, or leave it unset to have one \
                         started here"
                    )
                })?;
                let bootstrap = bootstrap.clone();
                Ok(Self {
                    bootstrap,
                    own: None,
                })
            }
            KafkaChoice::Own {
                directory,
                for_speed,
            } => Self::start(directory.clone(), *for_speed).await,
        }
    }

    async fn start(directory: PathBuf, for_speed: bool) -> Result<Self> {
        crate::broker::available()?;
        let jvm: &[&str] = if for_speed { &FOR_SPEED } else { &[] };
        let settings = Settings {
            directory: Some(directory),
            jvm: jvm.iter().map(|&option| option.to_owned()).collect(),
            ..Settings::default()
        };
        let begin = Instant::now();
        let broker = off_thread(move || Ok(Broker::start(&settings)?)).await?;
        let pid = broker.pid().context("the broker has no process")?;
        Ok(Self {
            bootstrap: broker.bootstrap().to_owned(),
            own: Some(Own {
                process: Process {
                    name: "broker".to_owned(),
                    pid,
                },
                ready_after: begin.elapsed(),
                broker: Arc::new(broker),
            }),
        })
    }

    /// Stops the run's own broker and waits for its end. Leaves an existing one alone.
    ///
    /// # Errors
    /// It did not end cleanly.
    pub async fn stop(self) -> Result<()> {
        let Some(own) = self.own else {
            return Ok(());
        };
        let stopped = off_thread(move || Ok(own.broker.stop()?)).await;
        stopped.context("Kafka did not stop as it should")
    }

    /// A command that shows the records of a topic.
    pub fn command_to_read(&self, topic: &str) -> String {
        let tool = self.tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "kafka-console-consumer.sh",
        );
        let shown = ["partition", "offset", "key", "headers"]
            .map(|what| format!(" --property print.{what}=true"));
        format!("{tool} --topic {topic} --from-beginning{}", shown.concat())
    }

    /// A command that writes this value.
    pub fn command_to_write(&self, topic: &str, value: &str) -> String {
        let tool = self.tool(
            "org.apache.kafka.tools.ConsoleProducer",
            "kafka-console-producer.sh",
        );
        format!("echo '{value}' | {tool} --topic {topic}")
    }

    /// One of Kafka's own tools: from the broker's jars, or from an installation.
    fn tool(&self, class: &str, script: &str) -> String {
        let jars = self
            .own
            .as_ref()
            .and_then(|own| class_path(own.process.pid));
        let bootstrap = &self.bootstrap;
        match jars {
            Some(jars) => format!(
                "java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '{jars}' {class} --bootstrap-server {bootstrap}"
            ),
            None => format!("{script} --bootstrap-server {bootstrap}"),
        }
    }
}

/// The directory of a JVM's jars, from its command line.
fn class_path(pid: u32) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split('\0').skip_while(|word| *word != "-cp");
    let given = words.nth(1)?;
    let directory = Path::new(given.strip_suffix("/*")?).canonicalize().ok()?;
    let here = std::env::current_dir().ok()?;
    let directory = directory.strip_prefix(here).unwrap_or(&directory);
    Some(format!("{}/*", directory.display()))
}
