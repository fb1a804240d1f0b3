//! Swaps that are cut short by a disk that is full, or by a stop: the old generation goes on, or the new one is
//! active at the next start; what was answered is kept.
//!
//! The disk is full where a limit says so that the system puts on the host's files while it runs; it is taken
//! away again as room is made. Needs Linux.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::builds::{Build, Files, active, generations, nothing_decided_before_it_was_active};
use crate::chameleon::{Chameleon, count, look};
use crate::expect::problem;
use crate::store_file::number;
use crate::support::{Host, Start, signal, try_request};

fn build(version: &str) -> Build {
    Build::new("chameleon", Chameleon::new().version(version).bytes())
}

/// Lacks what the others listen to.
fn deaf() -> Build {
    let deaf = (Chameleon::new().version("deaf")).with(json!({"subscriptions": []}));
    Build::new("chameleon", deaf.bytes())
}

/// Starts it as a process in which a file that may grow no further is an error, and not its end.
fn start(start: &Start, directory: &Path) -> Host {
    Host::from_command(start.after("trap '' XFSZ"), directory)
}

/// Lets no file of the host grow beyond this many bytes, or any again.
fn limit(host: &Host, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    let host = Pid::from_raw(i32::try_from(host.id()).unwrap());
    prlimit(host, Resource::Fsize, limit).unwrap();
}

fn by(number: u64, version: &str) -> serde_json::Value {
    json!({"count": number, "by": version})
}

#[test]
fn a_component_without_room_on_the_disk_is_refused_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (first, second) = (build("first"), build("second"));
    let files = Files::write(directory.path(), std::slice::from_ref(&first));
    let host = start(&files.start(&data), directory.path());
    assert_eq!(count(&host, "k"), by(1, "first"));

    limit(&host, Some(second.bytes.len() as u64 / 2));
    let refused = second.try_apply(host.admin()).unwrap();
    let detail = problem(&refused, 500, "swap-failed");
    assert!(
        detail.contains("the component can't be kept") && detail.contains("nothing was changed"),
        "{detail}"
    );
    assert_eq!(active(&host, &data, "chameleon"), first.digest);
    assert_eq!(count(&host, "k"), by(2, "first"));
    let kept = std::fs::read_dir(data.join("components")).unwrap();
    assert_eq!(kept.count(), 1, "something is left of what was not kept");

    limit(&host, None);
    second.apply(&host);
    assert_eq!(active(&host, &data, "chameleon"), second.digest);
    assert_eq!(count(&host, "k"), by(3, "second"));
    assert!(host.stop().success());
}

#[test]
fn a_store_that_is_full_keeps_the_old_generation_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (first, second, deaf) = (build("first"), build("second"), deaf());
    let files = Files::write(directory.path(), std::slice::from_ref(&first));
    let host = start(&files.start(&data), directory.path());
    // Nothing but the store has anything to write for a swap to these.
    for build in [&second, &deaf, &first] {
        build.apply(&host);
    }
    assert_eq!(count(&host, "k"), by(1, "first"));

    let log = std::fs::metadata(data.join("saga.db-wal")).unwrap();
    limit(&host, Some(log.len()));
    for build in [&second, &deaf] {
        let refused = build.try_apply(host.admin()).unwrap();
        let detail = problem(&refused, 500, "swap-failed");
        assert!(detail.contains("the store failed"), "{detail}");
        assert_eq!(active(&host, &data, "chameleon"), first.digest);
        assert_eq!(look(&host, "k"), by(1, "first"));
    }
    let refused = host.post("chameleon", "/counters/k", &json!({}));
    problem(&refused, 503, "store-failed");

    limit(&host, None);
    for (number, build, version) in [(2, &second, "second"), (3, &deaf, "deaf")] {
        build.apply(&host);
        assert_eq!(active(&host, &data, "chameleon"), build.digest);
        assert_eq!(count(&host, "k"), by(number, version));
    }
    let told = generations(&host, "chameleon");
    assert_eq!(told["refused"], json!([]), "the disk was full, not they");
    assert!(host.stop().success());
    nothing_decided_before_it_was_active(&data);
}

#[test]
fn a_stop_in_the_middle_of_a_swap_leaves_either_generation() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let warm = [build("first"), build("second")];
    let files = Files::write(directory.path(), &warm[..1]);
    let mut before = warm[0].digest.clone();
    let (mut answered, mut taken) = (0, 0);
    for (round, wait) in [0, 1, 2, 5, 10, 20, 50, 200].into_iter().enumerate() {
        let host = files.start(&data).start();
        assert_eq!(active(&host, &data, "chameleon"), before);
        if round == 0 {
            warm.iter().rev().for_each(|build| build.apply(&host));
        }
        let next = if round % 4 == 3 {
            // Never compiled, which takes some time.
            let never = std::process::id();
            build(&format!("{never} {round}"))
        } else {
            (warm.iter().find(|build| build.digest != before).unwrap()).clone()
        };
        let url = host.url("chameleon").to_owned();
        let admin = host.admin().to_owned();
        let swapped = std::thread::scope(|scope| {
            let counting = scope.spawn(|| {
                let count = || try_request("POST", &format!("{url}/counters/k"), &[], b"{}");
                std::iter::repeat_with(count)
                    .take_while(|counted| counted.as_ref().is_ok_and(|c| c.status == 200))
                    .count() as u64
            });
            let swapping = scope.spawn(|| next.try_apply(&admin));
            std::thread::sleep(Duration::from_millis(wait));
            signal(host.id(), "TERM");
            assert!(host.wait().success(), "after {wait} ms");
            answered += counting.join().unwrap();
            swapping.join().unwrap()
        });
        let host = files.start(&data).start();
        let found = active(&host, &data, "chameleon");
        let was_taken = found == next.digest;
        assert!(was_taken || found == before, "after {wait} ms: {found}");
        if let Ok(answer) = swapped {
            match answer.status {
                200 => assert!(was_taken, "it was said to be active"),
                503 => assert!(!was_taken, "{}", answer.text()),
                _ => panic!("after {wait} ms: {}", answer.text()),
            }
        }
        taken += usize::from(was_taken);
        let there = look(&host, "k")["count"].as_u64().unwrap_or(0);
        assert_eq!(there, answered, "counted, and answered");
        assert!(host.stop().success());
        before = found;
        files.spoil();
    }
    println!("{answered} counted, {taken} of 8 swaps were taken");
    assert!(answered > 0);
    nothing_decided_before_it_was_active(&data);
    assert_eq!(
        number(&data, "SELECT count(*) FROM journal") as u64,
        answered
    );
}
