//! `kill -9` of the real process at random moments of swaps under load, restarted on the same data, many times.
//!
//! Either the old generation or the new one is active then, never neither, from the host's own copy: the files
//! at the configured paths are garbage from the first crash on. Every third round begins with a build that was
//! never compiled; the others swap between builds that were. `SAGA_CRASH_ROUNDS` and `SAGA_CRASH_SEED` are
//! those of `store::crash`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::aftermath::{Aftermath, look};
use crate::builds::{Build, Files, Mark, active, nothing_decided_before_it_was_active};
use crate::chameleon::{self, Chameleon};
use crate::crashes::{self, Client, GAP, many_times};
use crate::store_file;
use crate::support::{Start, try_request};

/// How often the process is killed where nothing else is said.
const ROUNDS: u64 = 20;

/// Clients that count, and as many that place orders.
const CLIENTS: u64 = 2;

/// Longest wait for a swap to come as far as is wanted. A busy machine may need longer; then the crash comes before.
const WHILE: Duration = Duration::from_secs(1);

const PARTICIPANTS: [&str; 3] = ["chameleon", "customer", "order"];

/// A key on which all clients count.
const SHARED: &str = "shared";

static LEFT: LazyLock<Left> = LazyLock::new(|| many_times(ROUNDS, crash));

/// The state at the end.
struct Left {
    saga: Aftermath,
    swaps: Swaps,
    /// Digests that were active after a crash.
    found: BTreeSet<String>,
    counters: Vec<Counter>,
    /// The counts in the end, by key.
    counts: BTreeMap<String, u64>,
    /// Recorded decisions of chameleon in the end.
    decided: u64,
}

fn build(participant: &str, mark: &str) -> Build {
    if participant == "chameleon" {
        Build::new(participant, Chameleon::new().version(mark).bytes())
    } else {
        Build::marked(participant, mark)
    }
}

fn start(files: &Files, data: &Path) -> Start {
    files
        .start(data)
        .setting("embedded.partitions", 3)
        .setting("instances", 2)
}

fn crash(directory: &Path, seed: u64, rounds: u64) -> Left {
    let mut random = Rng::with_seed(seed | 1);
    let data = directory.join("data");
    // Compiled code of its own, for much of it is compiled on the way.
    std::fs::create_dir_all(data.join("code")).unwrap();
    let first = PARTICIPANTS.map(|participant| build(participant, "first"));
    let files = Files::write(directory, &first);
    let mut swaps = Swaps::new(first.to_vec());
    let host = start(&files, &data).start();
    crashes::register(&host);
    // From here on there is compiled code of all of them.
    swaps
        .builds
        .iter()
        .rev()
        .for_each(|build| build.apply(&host));
    let mut mark = Mark::now(&data);
    host.kill();
    files.spoil();

    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client::new(seed ^ (number + 1)))
        .collect();
    let mut counters: Vec<Counter> = (0..CLIENTS).map(Counter::new).collect();
    let mut found = BTreeSet::new();
    for round in 0..rounds {
        if random.u64(..5) == 0 {
            // A crash while it recovers from the one before.
            let mut child = (start(&files, &data).program())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_micros(random.u64(..100_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let host = start(&files, &data).start();
        let now = Mark::now(&data);
        mark.only_active_ones_decided_until(now, &data);
        mark = now;
        for participant in PARTICIPANTS {
            found.insert(swaps.found(participant, active(&host, &data, participant)));
        }

        let url = |participant: &str| host.url(participant).to_owned();
        let (customers, orders, chameleon) = (url("customer"), url("order"), url("chameleon"));
        let admin = host.admin().to_owned();
        let cold = (round % 3 == 0).then(|| {
            let participant = PARTICIPANTS[random.u64(..3) as usize];
            build(participant, &format!("round {round}"))
        });
        let copy = cold.as_ref().map(|build| build.copy(&data));
        let mut choices = Rng::with_seed(random.u64(..u64::MAX) | 1);
        let (answered, answers) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut running = Vec::new();
            // What is checked gives way to turns, so for that some time must be left.
            let share = if copy.is_some() { 1 } else { CLIENTS as usize };
            for client in clients.iter_mut().take(share) {
                running.push(scope.spawn(|| client.run(&customers, &orders)));
            }
            for counter in counters.iter_mut().take(share) {
                running.push(scope.spawn(|| counter.run(&chameleon)));
            }
            let swaps = &mut swaps;
            running.push(scope.spawn(move || swaps.run(&admin, &mut choices, cold, &answered)));
            let most = match copy {
                // While it is compiled and checked.
                Some(_) if random.u64(..3) == 0 => 500_000,
                // While it becomes active.
                Some(copy) => {
                    let begun = Instant::now();
                    while !copy.exists() && begun.elapsed() < WHILE {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    30_000
                }
                None => {
                    let _ = answers.recv_timeout(WHILE);
                    100_000
                }
            };
            std::thread::sleep(Duration::from_micros(random.u64(..most)));
            host.kill();
            running
                .into_iter()
                .for_each(|client| client.join().unwrap());
        });
    }

    let host = start(&files, &data).start();
    let now = Mark::now(&data);
    mark.only_active_ones_decided_until(now, &data);
    for participant in PARTICIPANTS {
        found.insert(swaps.found(participant, active(&host, &data, participant)));
    }
    let keys: BTreeSet<&String> = counters.iter().flat_map(|c| c.sent.keys()).collect();
    let count = |key: &&String| {
        let state = chameleon::look(&host, key);
        ((*key).clone(), state["count"].as_u64().unwrap_or(0))
    };
    let counts = keys.iter().map(count).collect();
    let saga = look(host, &data, crashes::asked(clients), GAP);
    nothing_decided_before_it_was_active(&data);
    let decided = "SELECT count(*) FROM journal j JOIN generations g ON g.id = j.generation
                   JOIN participants p ON p.id = g.participant WHERE p.name = 'chameleon'";
    Left {
        saga,
        swaps,
        found,
        counters,
        counts,
        decided: store_file::number(&data, decided) as u64,
    }
}

/// The requested swaps, through all crashes.
struct Swaps {
    /// Two builds of each participant, between which is swapped.
    builds: Vec<Build>,
    /// The active build of each participant, if it is known.
    active: BTreeMap<String, String>,
    /// Participant and digest of the swap that the last crash cut short.
    cut_short: Option<(String, String)>,
    answered: usize,
    /// Swaps that a crash cut short, after which the old one was active, and the new one.
    came_to: (usize, usize),
}

impl Swaps {
    fn new(first: Vec<Build>) -> Self {
        let active = (first.iter())
            .map(|build| (build.participant.clone(), build.digest.clone()))
            .collect();
        let second = PARTICIPANTS.map(|participant| build(participant, "second"));
        Self {
            builds: [first, second.to_vec()].concat(),
            active,
            cut_short: None,
            answered: 0,
            came_to: (0, 0),
        }
    }

    /// Swaps until the host is gone.
    fn run(
        &mut self,
        admin: &str,
        random: &mut Rng,
        mut cold: Option<Build>,
        said: &mpsc::Sender<()>,
    ) {
        loop {
            let build = cold.take().unwrap_or_else(|| {
                self.builds[random.u64(..self.builds.len() as u64) as usize].clone()
            });
            let answer = if random.u64(..4) == 0 && build.digest != self.active[&build.participant]
            {
                build.try_go_back(admin)
            } else {
                build.try_apply(admin)
            };
            match answer {
                // It was never active, or its copy is gone.
                Ok(unknown) if unknown.status == 404 => {}
                Ok(applied) => {
                    assert_eq!(applied.status, 200, "{}", applied.text());
                    assert_eq!(applied.json()["previous"], self.active[&build.participant]);
                    self.active.insert(build.participant, build.digest);
                    self.answered += 1;
                    // Nobody waits for the second one.
                    let _ = said.send(());
                }
                Err(_) => {
                    self.cut_short = Some((build.participant, build.digest));
                    return;
                }
            }
        }
    }

    /// Checks that what is active after a crash may be; gives it.
    fn found(&mut self, participant: &str, digest: String) -> String {
        let before = self.active.insert(participant.to_owned(), digest.clone());
        let is_before = before.as_ref() == Some(&digest);
        if let Some((_, next)) = (self.cut_short).take_if(|(name, _)| name == participant)
            && before.as_ref() != Some(&next)
        {
            let is_next = digest == next;
            self.came_to.0 += usize::from(is_before);
            self.came_to.1 += usize::from(is_next);
            assert!(is_before || is_next, "{participant}: {digest} was neither");
        } else {
            assert!(is_before, "{participant}: {digest} instead of {before:?}");
        }
        digest
    }
}

/// A client that counts, on a key of its own and on one that all count on.
struct Counter {
    own: String,
    /// Requests that were sent, by key.
    sent: BTreeMap<String, u64>,
    /// Counts that were answered, by key.
    answered: BTreeMap<String, Vec<u64>>,
}

impl Counter {
    fn new(number: u64) -> Self {
        Self {
            own: format!("own-{number}"),
            sent: BTreeMap::new(),
            answered: BTreeMap::new(),
        }
    }

    /// Counts until the host is gone.
    fn run(&mut self, url: &str) {
        for key in [SHARED.to_owned(), self.own.clone()].iter().cycle() {
            *self.sent.entry(key.clone()).or_default() += 1;
            let Ok(counted) = try_request("POST", &format!("{url}/counters/{key}"), &[], b"{}")
            else {
                return;
            };
            assert_eq!(counted.status, 200, "{}", counted.text());
            let count = counted.json()["count"].as_u64().unwrap();
            self.answered.entry(key.clone()).or_default().push(count);
        }
    }
}

#[test]
fn the_crashes_hit_swaps_and_either_generation_was_active_after_each() {
    let swaps = &LEFT.swaps;
    let (old, new) = swaps.came_to;
    println!(
        "{} swaps, {old} cut short before and {new} after the new one was active; {} generations after crashes",
        swaps.answered,
        LEFT.found.len()
    );
    assert!(old + new > 0, "no swap was in flight at any crash");
    assert!(swaps.answered > 0 && LEFT.found.len() > PARTICIPANTS.len());
}

#[test]
fn invariant_10_every_count_that_was_answered_is_there_once() {
    let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
    let mut answered: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for counter in &LEFT.counters {
        for (key, number) in &counter.sent {
            *sent.entry(key).or_default() += number;
        }
        for (key, counts) in &counter.answered {
            assert!(counts.is_sorted_by(|a, b| a < b), "{key} went back");
            answered.entry(key).or_default().extend(counts);
        }
    }
    assert!(answered[SHARED].len() > 10, "{answered:?}");
    for (key, counts) in &mut answered {
        counts.sort_unstable();
        let number = counts.len();
        counts.dedup();
        assert_eq!(number, counts.len(), "{key}: a count was answered twice");
        let count = LEFT.counts[*key];
        let last = counts.last().copied().unwrap_or(0);
        assert!(
            last <= count,
            "{key}: {last} was answered, {count} is there"
        );
        assert!(number as u64 <= count, "{key}: {number} answered");
        assert!(count <= sent[key], "{key}: {} sent, {count}", sent[key]);
    }
    let counts: u64 = LEFT.counts.values().sum();
    assert_eq!(counts, LEFT.decided, "counted, and recorded");
}

#[test]
fn the_saga_keeps_its_invariants() {
    let saga = &LEFT.saga;
    saga.invariant_1_every_event_is_decided_exactly_once();
    saga.invariant_2_state_events_and_record_of_a_decision_are_there_together();
    saga.invariant_3_credit_is_taken_once_for_each_approved_order();
    saga.invariant_3_no_event_is_applied_twice();
    saga.invariant_4_the_orders_of_a_customer_are_decided_in_their_order();
    saga.invariant_10_every_acknowledged_order_is_there_as_it_was_placed_and_is_decided();
}
