//! `saga-demo cluster`: three hosts of both participants on one PostgreSQL server, under a small load.
//!
//! Owns: the server, Kafka where it can run, and the hosts. Nothing is kept but the hosts' logs: each
//! run has a store of its own.
//!
//! # Layout
//!
//! - `steps`: what is done to the hosts, in order
//! - `load`: customers who order all the time, at one host after the other
//! - `books`: what must be true at the end
//!
//! Must not know: host internals. It reads the tables of the store, as an operator may.

mod books;
mod load;
mod steps;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use saga_testkit::broker;
use saga_testkit::host::{Host, Launch};
use saga_testkit::http::BaseUrl;
use saga_testkit::ports;
use saga_testkit::postgres::{Server, Settings};

use saga_demo_client::contract::{CUSTOMER_TOPIC, ORDER_TOPIC};
use saga_demo_client::files::{self, Binaries};
use saga_testkit::interrupt::Interrupt;
use saga_testkit::kafka::cluster::{Cluster as Kafka, KafkaChoice};
use saga_testkit::kafka::topics::{self, Ends};

use crate::page::WalkPage as Page;

const HOSTS: usize = 3;
const PARTICIPANTS: [&str; 2] = ["customer", "order"];
/// Partitions of each topic: more than hosts, so that each host has some.
const PARTITIONS: usize = 6;
/// Longest wait for what happens within seconds.
const WITHIN: Duration = Duration::from_secs(60);
/// Interval of looks at the store.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The options of a run.
#[derive(Debug)]
pub struct ClusterOptions {
    /// The program and the components of the hosts.
    pub binaries: Binaries,
    /// The build of the customer's rules for the swap.
    pub cautious: PathBuf,
    /// The directory of the hosts' own files. What is in it is removed.
    pub data: PathBuf,
    /// The Kafka between the hosts; where none can run, or without it, it is the embedded log.
    pub kafka: Option<KafkaChoice>,
}

/// Starts everything, does the steps, checks the books and ends. Exit code 0 means that there were no
/// deviations.
///
/// # Errors
/// A server or a host did not start, or did not do what it must within a minute.
pub async fn run(options: &ClusterOptions, page: &mut Page) -> Result<ExitCode> {
    let mut interrupt = Interrupt::new()?;
    tokio::select! {
        ended = whole(options, page) => ended,
        // Everything that was started is ended when it is dropped.
        () = interrupt.recv() => Err(anyhow!("interrupted before the walk was over")),
    }
}

async fn whole(options: &ClusterOptions, page: &mut Page) -> Result<ExitCode> {
    match std::fs::remove_dir_all(&options.data) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't remove {}", options.data.display()));
        }
        _ => {}
    }
    page.say(
        "Three hosts of both participants on one PostgreSQL server: any host takes any request.",
    )?;
    let server = start_server(page).await?;
    let kafka = start_kafka(options.kafka.as_ref(), page).await?;
    let mut cluster = Cluster {
        launches: launches(options, &server, kafka.as_ref())?,
        hosts: Vec::new(),
        server,
        has_kafka: kafka.is_some(),
    };
    let walked = steps::walk(&mut cluster, options, page).await;
    walked.map_err(|error| anyhow!("{error:#}\n{}", cluster.log_tails()))?;
    for host in cluster.hosts.iter().flatten() {
        host.ask_to_end();
    }
    for host in cluster.hosts.iter().flatten() {
        let ended = tokio::time::timeout(WITHIN, host.exited()).await;
        let ended = ended.map_or("still there".to_owned(), |status| status.to_string());
        page.must_be("the end of a host", "exit status: 0", &ended)?;
    }
    if let Some(kafka) = kafka {
        kafka.stop().await?;
    }
    page.verdict()?;
    Ok(match page.right() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn start_server(page: &mut Page) -> Result<Arc<Server>> {
    page.heading("PostgreSQL: one database is the store of all hosts")?;
    let server = off_thread(|| Server::start(&Settings::default())).await?;
    let server = server.map_err(|error| match error {
        saga_testkit::postgres::server::Error::Unavailable(missing) => {
            anyhow!("{missing}. On Debian and Ubuntu `make install-servers`, as root, does it")
        }
        error => error.into(),
    })?;
    let at = server.directory().display();
    page.say(&format!(
        "A server of this machine's programs, with a new database in {at}; it ends with this walk. Look into it:"
    ))?;
    page.request(&psql(&server, "TABLE saga.hosts"))?;
    Ok(Arc::new(server))
}

/// None if no Kafka can run here, or none is wanted.
async fn start_kafka(wanted: Option<&KafkaChoice>, page: &mut Page) -> Result<Option<Kafka>> {
    page.heading("Kafka, or the embedded log")?;
    let kafka = match wanted {
        Some(wanted) => match Kafka::open(wanted).await {
            Err(error) if error.is::<broker::Unavailable>() => {
                Err(format!("none can run here: {error}"))
            }
            opened => Ok(opened?),
        },
        None => Err("none is wanted".to_owned()),
    };
    let kafka = match kafka {
        Ok(kafka) => kafka,
        Err(why) => {
            page.say(&format!(
                "Without Kafka ({why}), events travel over the embedded log: the committed outbox in PostgreSQL, from \
                 which each host reads some partitions."
            ))?;
            return Ok(None);
        }
    };
    let names = [ORDER_TOPIC, CUSTOMER_TOPIC];
    // Topics that don't exist have no records.
    let ends = topics::ends(&kafka.bootstrap, &names).await;
    let records = topics::count(&Ends::new(), &ends.unwrap_or_default());
    ensure!(
        records == 0,
        "{ORDER_TOPIC} and {CUSTOMER_TOPIC} at {} hold {records} records of other services, and the store of this walk \
         is new: delete the topics",
        kafka.bootstrap
    );
    page.say(&format!(
        "Apache Kafka at {}. The hosts are members of one consumer group for each topic, so Kafka spreads the \
         {PARTITIONS} partitions over them.",
        kafka.bootstrap
    ))?;
    Ok(Some(kafka))
}

/// The same command for each host, but for its directory and its ports.
fn launches(
    options: &ClusterOptions,
    server: &Server,
    kafka: Option<&Kafka>,
) -> Result<Vec<Launch>> {
    let Binaries {
        saga,
        customer,
        order,
    } = &options.binaries;
    files::read(&options.cautious)?;
    // A host that is started again has the same ports.
    let ports = ports::free(HOSTS * PARTICIPANTS.len());
    let launch = |(number, ports): (usize, &[u16])| {
        let [for_customer, for_order] = ports else {
            bail!("there are no free ports");
        };
        let launch = Launch::new(saga, &options.data.join(format!("host-{number}")))
            .participant("customer", customer, *for_customer)
            .participant("order", order, *for_order)
            .arguments(&["--store", &server.url()]);
        let launch = Launch {
            own_group: true,
            settings: settings(number, kafka.is_some()),
            ..launch
        };
        files::check(&launch)?;
        Ok(match kafka {
            Some(kafka) => launch.over(&kafka.bootstrap),
            None => launch,
        })
    };
    (1..)
        .zip(ports.chunks(PARTICIPANTS.len()))
        .map(launch)
        .collect()
}

fn settings(number: usize, has_kafka: bool) -> String {
    match has_kafka {
        false => format!("[embedded]\npartitions = {PARTITIONS}\n"),
        // A short session, so that the walk need not wait long for the partitions of a killed host.
        true => format!(
            "[kafka]\npartitions = {PARTITIONS}\n\n[kafka.properties]\n\"group.instance.id\" = \"host-{number}\"\n\
             \"session.timeout.ms\" = \"6000\"\n"
        ),
    }
}

/// The server and the hosts. All are ended when it is dropped.
struct Cluster {
    /// None for one that was killed.
    hosts: Vec<Option<Host>>,
    launches: Vec<Launch>,
    server: Arc<Server>,
    has_kafka: bool,
}

impl Cluster {
    /// Starts a host, in the place of one that has ended or behind the others.
    async fn start(&mut self, place: usize) -> Result<()> {
        let launch = self.launches.get(place).context("there is no such host")?;
        let host = Host::start(launch).await?;
        match self.hosts.get_mut(place) {
            Some(ended) => *ended = Some(host),
            None => self.hosts.push(Some(host)),
        }
        Ok(())
    }

    /// A host that runs.
    fn host(&self, place: usize) -> Result<&Host> {
        let host = self.hosts.get(place).and_then(Option::as_ref);
        host.with_context(|| format!("host {} does not run", place + 1))
    }

    /// The process of a host, for commands.
    fn pid(&self, place: usize) -> Result<u32> {
        Ok(self.host(place)?.in_system().pid)
    }

    /// The base URLs of a participant, host by host, also of hosts that don't run.
    fn urls(&self, participant: usize) -> Result<Vec<BaseUrl>> {
        let name = PARTICIPANTS.get(participant).copied().unwrap_or_default();
        let all = self.hosts.iter().flatten();
        all.map(|host| {
            host.service(name)
                .cloned()
                .context("a participant is not served")
        })
        .collect()
    }

    /// Rows of a query, each with `|` between its values.
    async fn rows(&self, query: &str) -> Result<Vec<String>> {
        let (server, query) = (self.server.clone(), query.to_owned());
        let text = off_thread(move || server.sql(&query)).await??;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The same, on the page with its command.
    async fn show(&self, query: &str, page: &mut Page) -> Result<Vec<String>> {
        page.request(&psql(&self.server, query))?;
        let rows = self.rows(query).await?;
        for row in &rows {
            page.record(row)?;
        }
        Ok(rows)
    }

    /// Waits until a query gives true.
    async fn until(&self, what: &str, condition: &str) -> Result<Duration> {
        let began = Instant::now();
        while self.rows(&format!("SELECT {condition}")).await? != ["t"] {
            ensure!(
                began.elapsed() < WITHIN,
                "after {} s not yet: {what}",
                WITHIN.as_secs()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(began.elapsed())
    }

    fn log_tails(&self) -> String {
        let tails = self.hosts.iter().flatten().map(Host::log_tail);
        tails.collect::<Vec<_>>().join("\n")
    }
}

/// A command that a person could type.
fn psql(server: &Server, query: &str) -> String {
    format!("psql {} -c \"{query}\"", server.url())
}

/// Runs a command of the host's program; returns what it printed.
async fn saga(program: &Path, arguments: &[&str], page: &mut Page) -> Result<String> {
    page.request(&format!("{} {}", program.display(), arguments.join(" ")))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let output = off_thread(move || command.output()).await?;
    let output = output.with_context(|| format!("can't start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "it ended with {}: {said}{failed}",
        output.status
    );
    Ok(said)
}

/// Runs what blocks on another thread: the load goes on meanwhile.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a thread panicked")
}
