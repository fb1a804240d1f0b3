//! Hostile components offered to a host that works (invariant 8): each is refused, or does its mischief turn by turn
//! and is gone back from; whoever asks another participant, or for other keys, notices nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, rollback, swap, told, told_of};
use crate::expect::{broke, until};
use crate::rollout::refused::{first, other};
use crate::support::Host;

/// Components that are refused before they decide anything: the settings that make them hostile, the check, and a word of the reason.
fn refused() -> Vec<(Value, &'static str, &'static str)> {
    let describe = |act: &str| json!({"describe": act});
    let count = |act: Value| json!({"handle": {"count": act}});
    let migrate =
        |act: &str| json!({"state": {"version": 3, "oldest_readable": 2}, "migrate": act});
    vec![
        (describe("trap"), "description", "trap"),
        (describe("spin"), "description", "out-of-fuel"),
        (describe("garbage"), "description", "description is wrong"),
        (describe("changing"), "description", "differently"),
        (count(json!("trap")), "probe", "trap"),
        (count(json!("spin")), "probe", "out-of-fuel"),
        (count(json!("grow")), "probe", "out-of-memory"),
        (
            count(json!({"huge": 8_000_000})),
            "probe",
            "output-too-large",
        ),
        (count(json!("garbage-state")), "probe", "bad-output"),
        (count(json!("garbage-event")), "probe", "bad-output"),
        (count(json!("no-reply")), "probe", "bad-output"),
        (migrate("trap"), "probe", "trap"),
        (migrate("spin"), "probe", "out-of-fuel"),
        (migrate("garbage"), "probe", "bad-output"),
        (migrate("fail"), "probe", "can't read the state of "),
    ]
}

/// Components that break on a message that nobody recorded, so that no probe finds it: the act, and its fault.
fn taken() -> [(Value, &'static str); 7] {
    [
        (json!("trap"), "trap"),
        (json!("spin"), "out-of-fuel"),
        (json!("grow"), "out-of-memory"),
        (json!({"huge": 8_000_000}), "output-too-large"),
        (json!("garbage-state"), "bad-output"),
        (json!("garbage-event"), "bad-output"),
        (json!("no-reply"), "bad-output"),
    ]
}

/// The first build, and another participant.
fn start(data: &Path) -> Host {
    let file = |name: &str| data.join(name);
    first().write(&file("chameleon.wasm"));
    let steady = json!({"name": "steady", "subscriptions": [], "publications": []});
    Chameleon::new().with(steady).write(&file("steady.wasm"));
    let plugin = format!("steady={}", file("steady.wasm").display());
    chameleon::start(&file("chameleon.wasm"), data)
        .arguments(&["--plugin", &plugin, "--listen", "steady=127.0.0.1:0"])
        .setting("reload.watch_ms", 0)
        .start()
}

/// Counts on another participant and on another key, one after the other, until it is over.
fn steady(host: &Host, is_over: &AtomicBool, rounds: &AtomicU64) {
    while !is_over.load(Ordering::Relaxed) {
        let round = rounds.load(Ordering::Relaxed) + 1;
        for participant in ["steady", "chameleon"] {
            let counted = host.post(participant, "/counters/steady", &json!({}));
            assert_eq!(counted.status, 200, "{participant}: {}", counted.text());
            assert_eq!(counted.json()["count"], round, "{participant}");
        }
        rounds.store(round, Ordering::Relaxed);
    }
}

#[test]
fn invariant_8_hostile_components_disturb_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let host = start(directory.path());
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let client = scope.spawn(|| steady(&host, &is_over, &rounds));
        // What panics below must not leave the client running.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the client counts", || rounds.load(Ordering::Relaxed) > 0);
            offer_all(&host, &rounds);
        }));
        is_over.store(true, Ordering::Relaxed);
        client.join().unwrap();
        result.unwrap();
    });
    let told = told(&host);
    assert_eq!(told["active"], first().digest());
    assert_eq!(told["refused"].as_array().unwrap().len(), refused().len());
    assert_eq!(told_of(&host, &first())["faults"], 0);
    assert!(host.stop().success());
}

fn offer_all(host: &Host, rounds: &AtomicU64) {
    let goes_on = |what: &str| {
        let before = rounds.load(Ordering::Relaxed);
        until(&format!("the client goes on after {what}"), || {
            // The round that is in flight may have begun before.
            rounds.load(Ordering::Relaxed) > before + 1
        });
    };
    for (settings, check, says) in refused() {
        let offered = chameleon::apply(host, &other(settings.clone()));
        assert_eq!(offered.status, 422, "{settings}: {}", offered.text());
        let said = offered.json();
        assert_eq!(said["check"], check, "{said}");
        assert!(said["reasons"].to_string().contains(says), "{said}");
        assert!(chameleon::is_active(host, &first()), "{settings}");
        goes_on(&settings.to_string());
    }
    for (act, kind) in taken() {
        let hostile = other(json!({"handle": {"play": act}}));
        swap(host, &hostile);
        for _ in 0..2 {
            broke(&host.post("chameleon", "/played/k", &json!({})), kind);
        }
        goes_on(&act.to_string());
        let told = told_of(host, &hostile);
        assert_eq!(told["faults"], 2, "{told}");
        assert!(told["decisions"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(rollback(host).json()["digest"], first().digest());
        goes_on("going back");
    }
}
