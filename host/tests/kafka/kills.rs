//! The load generator's checker holds however often either host is killed (`kill -9`) under its load.
//!
//! A hundred times a host is killed at a random moment, either one, and started again at once, at the same address and on
//! the same data; now and then already while it starts. The broker is killed too now and then, and hosts die while it is
//! down. The load generator (`saga-bench load --retry`) waits for who is away, and tells of every order that is lost, decided
//! wrongly or twice, and of every cent. It is started again when it has placed all of its orders, so that every kill is under load.
//!
//! `SAGA_KILL_ROUNDS` sets how often, `SAGA_KILL_SEED` repeats the choices of a run; the moments are still the machine's.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use serde_json::Value;

use crate::broker_faults::broker;
use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::load::decided_once;
use crate::saga::Saga;
use crate::store_file::number;
use crate::support::{Host, Start};

/// How often a host is killed where nothing else is said.
const ROUNDS: u64 = 100;

/// Rounds from one death of the broker to the next.
const BROKER_ROUNDS: u64 = 30;

/// Longest life of a host, in microseconds.
const LIFE: u64 = 500_000;

/// Longest life of one that is killed while it starts.
const SHORT_LIFE: u64 = 60_000;

/// Orders of one run of the load generator.
const ORDERS: &str = "5000";

pub fn tests() -> Vec<Test> {
    tests![own: the_load_generator_finds_nothing_wrong_after_100_kills]
}

/// A service at an address that it keeps.
struct Service {
    name: &'static str,
    start: Start,
    host: Option<Host>,
}

impl Service {
    fn start(saga: &Saga, name: &'static str, port: u16) -> Self {
        let start = saga.service(name).port(port).setting("kafka.partitions", 3);
        let host = Some(start.start());
        Self { name, start, host }
    }

    fn url(&self) -> String {
        self.host.as_ref().unwrap().url(self.name).to_owned()
    }

    /// Kills it, and starts it again.
    fn kill(&mut self, random: &mut Rng) {
        self.host.take().unwrap().kill();
        if random.u64(..5) == 0 {
            let quiet = || Stdio::null();
            let mut starting = self.start.program();
            let mut starting = starting.stdout(quiet()).stderr(quiet()).spawn().unwrap();
            pause(random, SHORT_LIFE);
            starting.kill().unwrap();
            starting.wait().unwrap();
        }
        self.host = Some(self.start.start());
    }

    fn stop(self) {
        assert!(self.host.unwrap().stop().success());
    }
}

fn pause(random: &mut Rng, longest: u64) {
    std::thread::sleep(Duration::from_micros(random.u64(..longest)));
}

/// The load generator, which `cargo build` puts beside the host.
fn load_generator() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_saga")).with_file_name("saga-bench");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --release --workspace`, or `make test`, which does",
        path.display()
    );
    path
}

/// A run of the load generator.
struct Run(Child);

impl Run {
    fn start(customers: &str, orders: &str, seed: u64) -> Self {
        let mut command = Command::new(load_generator());
        command.args(["load", "--retry", "--json", "--customer-url", customers]);
        command.args(["--order-url", orders, "--orders", ORDERS]);
        command.args(["--customers", "50", "--connections", "32"]);
        command.args(["--patience", "60", "--seed", &seed.to_string()]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end; it must have found nothing wrong. Gives how many orders were decided, and how many requests broke off.
    fn judge(self) -> (u64, u64) {
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: Value =
            serde_json::from_str(&said).unwrap_or_else(|_| panic!("it could not run: {said}"));
        assert_eq!(found["right"], true, "{found:#}");
        let count = |name: &str| found[name].as_u64().unwrap();
        (count("approved") + count("rejected"), count("unknown"))
    }
}

/// A port that the system gives to nobody who asks for any, so that it is still free after a kill.
fn port() -> u16 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut random = Rng::with_seed(since.as_nanos() as u64);
    loop {
        let port = 12_000 + random.u64(..8_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn the_load_generator_finds_nothing_wrong_after_100_kills() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = setting("SAGA_KILL_SEED").unwrap_or(since.as_nanos() as u64);
    let rounds = setting("SAGA_KILL_ROUNDS").unwrap_or(ROUNDS);
    println!("SAGA_KILL_SEED={seed} SAGA_KILL_ROUNDS={rounds}");
    let mut random = Rng::with_seed(seed);
    let broker = broker();
    let saga = Saga::without_topics(&Cluster::at(broker.bootstrap()));
    let mut services = ["customer", "order"].map(|name| Service::start(&saga, name, port()));
    let urls = [services[0].url(), services[1].url()];
    let mut runs = 0;
    let mut next = || {
        runs += 1;
        Run::start(&urls[0], &urls[1], seed.wrapping_add(runs) >> 1)
    };
    let (mut decided, mut broken_off) = (0, 0);
    let mut add = |run: Run| {
        let (more, off) = run.judge();
        decided += more;
        broken_off += off;
    };
    let mut run = next();
    let placing = services[1].host.as_ref().unwrap();
    until("the load generator places orders", || {
        let page = placing.get("order", "/orders?limit=1").json();
        page["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    });
    std::thread::scope(|scope| {
        for round in 1..=rounds {
            if run.has_ended() {
                add(std::mem::replace(&mut run, next()));
            }
            if round % BROKER_ROUNDS == 0 {
                broker.kill();
                scope.spawn(|| broker.start_again().unwrap());
            }
            pause(&mut random, LIFE);
            services[random.u64(..2) as usize].kill(&mut random);
        }
    });
    add(run);
    println!("{decided} orders decided, {broken_off} requests broken off in {runs} runs");
    assert!(broken_off > 0, "no request was under way at any kill");
    let data = ["customer", "order"].map(|name| saga.data(name));
    services.into_iter().for_each(Service::stop);
    let decided = decided_once(&data[0], &data[1]);
    let placed = number(&data[1], "SELECT count(*) FROM aggregates");
    assert_eq!(decided as i64, placed, "orders decided, and orders");
}
