//! The Kafka of a run: a broker of its own, or one that is there already.
//!
//! Owns: which of the two, what is said where neither can be had, and how a reader can write to it and read from it
//! with Kafka's own tools. A broker of a run's own ends with it, however it ends.
//!
//! Must not know: topics, hosts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use saga_testkit::broker::{Broker, Settings};

use super::{ANSWERED_WITHIN, off_thread, topics};
use saga_testkit::usage::Process;

/// The environment variable that names a cluster that is there.
pub const BOOTSTRAP: &str = "KAFKA_BOOTSTRAP";

/// The way to a Kafka with Docker and without Java.
pub const WITH_DOCKER: &str = "docker compose -f demo/compose.yaml up -d";

/// Options of the JVM for a benchmark: the heap that Kafka's own scripts give it, and the compiler that makes
/// the fastest code.
const FOR_SPEED: [&str; 3] = ["-Xms1g", "-Xmx1g", "-XX:TieredStopAtLevel=4"];

/// Which Kafka is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A broker that this run starts and stops.
    Own {
        /// Where its data is.
        directory: PathBuf,
        /// Tuned for speed, rather than for a quick start and little memory.
        for_speed: bool,
    },
    /// One that is there, at `HOST:PORT`.
    Existing(String),
}

/// A Kafka that answers. A broker of one's own that is not stopped is killed with it.
#[derive(Debug)]
pub struct Cluster {
    /// `HOST:PORT`.
    pub bootstrap: String,
    /// A broker of one's own; none for one that was there.
    pub own: Option<Own>,
}

/// A broker that was started.
#[derive(Debug)]
pub struct Own {
    /// Its process.
    pub process: Process,
    /// From the start of the process until it answered.
    pub ready_after: Duration,
    broker: Arc<Broker>,
}

impl Cluster {
    /// Starts a broker, or asks the one that is there.
    ///
    /// # Errors
    /// A broker can't be had ([`saga_testkit::broker::Unavailable`]), it does not start, or nobody answers; the
    /// text says what to do.
    pub async fn open(wanted: &Wanted) -> Result<Self> {
        match wanted {
            Wanted::Existing(bootstrap) => {
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
            Wanted::Own {
                directory,
                for_speed,
            } => Self::start(directory.clone(), *for_speed).await,
        }
    }

    async fn start(directory: PathBuf, for_speed: bool) -> Result<Self> {
        saga_testkit::broker::available()?;
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

    /// Stops a broker of one's own and waits for its end; leaves one that was there alone.
    ///
    /// # Errors
    /// It did not end as it should.
    pub async fn stop(self) -> Result<()> {
        let Some(own) = self.own else {
            return Ok(());
        };
        let stopped = off_thread(move || Ok(own.broker.stop()?)).await;
        stopped.context("Kafka did not stop as it should")
    }

    /// A command by which a reader can see what is on a topic.
    pub fn command_to_read(&self, topic: &str) -> String {
        let tool = self.tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            "kafka-console-consumer.sh",
        );
        let shown = ["partition", "offset", "key", "headers"]
            .map(|what| format!(" --property print.{what}=true"));
        format!("{tool} --topic {topic} --from-beginning{}", shown.concat())
    }

    /// A command by which a reader can write this value.
    pub fn command_to_write(&self, topic: &str, value: &str) -> String {
        let tool = self.tool(
            "org.apache.kafka.tools.ConsoleProducer",
            "kafka-console-producer.sh",
        );
        format!("echo '{value}' | {tool} --topic {topic}")
    }

    /// One of Kafka's own tools: from the jars of a broker of one's own, or from an installation.
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

/// Where a JVM has its jars, by its command line.
fn class_path(pid: u32) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split('\0').skip_while(|word| *word != "-cp");
    let given = words.nth(1)?;
    let directory = Path::new(given.strip_suffix("/*")?).canonicalize().ok()?;
    let here = std::env::current_dir().ok()?;
    let directory = directory.strip_prefix(here).unwrap_or(&directory);
    Some(format!("{}/*", directory.display()))
}
