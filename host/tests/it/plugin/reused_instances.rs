//! Remains of earlier turns in a reused instance are charged to no message (invariant 5): instances are renewed before they
//! are full, and a fault counts only if it comes on a fresh instance too.

use std::collections::HashMap;
use std::sync::Arc;

use saga_core::message::{Message, Origin};
use saga_core::rules::{FaultKind, Renewal, Rules};
use saga_host::base::generation::CompiledRules as _;
use saga_host::base::generation::RuleSettings;
use saga_host::plugin::{
    CodeCache, ConfiguredComponent, GuestLimits, InstanceUse, LoadedComponent, Runtime, compile,
};
use serde_json::{Value, json};

use crate::chameleon::Chameleon;
use crate::expect::broke;
use crate::exposition::Exposition;
use crate::store_file::{publish, record, rows, until_consumed};
use crate::support::{Host, Start, request};

const MIB: usize = 1 << 20;

fn scrape(host: &Host) -> Exposition {
    let told = request("GET", &format!("{}/metrics", host.admin()), &[], b"");
    Exposition::read(&told.text(), false)
}

/// Instances that were renewed for this reason.
fn renewed(host: &Host, reason: &str) -> f64 {
    let of = [("participant", "mischief"), ("reason", reason)];
    scrape(host).one("saga_instances_renewed_total", &of)
}

/// Does this so often, all of which must go well.
fn act(host: &Host, times: u64, body: &Value) {
    for number in 0..times {
        let answer = host.post("mischief", "/acts/k", body);
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
    }
}

#[test]
fn memory_that_commands_leave_behind_is_charged_to_none_of_them() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    act(&host, 300, &json!({"do": "leak", "size": MIB}));
    assert_eq!(
        host.get("mischief", "/acts/k/look").json()["count"],
        300,
        "each took effect once"
    );
    assert!(renewed(&host, "memory") >= 4.0, "before they are full");
    assert_eq!(renewed(&host, "fault"), 0.0);
    let held = scrape(&host).one("saga_instance_memory_bytes", &[("participant", "mischief")]);
    assert!(held > 1e6 && held < 6.0 * 64e6, "{held}");
    assert_eq!(scrape(&host).sum("saga_faults_total", &[]), 0.0);
    assert!(host.stop().success());
}

#[test]
fn memory_that_records_leave_behind_is_charged_to_none_of_them() {
    let data = tempfile::tempdir().unwrap();
    Start::new(&["mischief"], data.path()).run_once();
    // Two of them do not fit into one instance, so that every other one breaks it.
    let body = json!({"key": "k", "do": "leak", "size": 40 * MIB}).to_string();
    publish(data.path(), "mischiefTopic", &vec![record(body); 20]);
    let host = Start::new(&["mischief"], data.path()).start();
    until_consumed(data.path(), "mischiefTopic");
    assert_eq!(host.get("mischief", "/acts/k/look").json()["count"], 20);
    assert!(renewed(&host, "fault") > 0.0);
    assert_eq!(scrape(&host).sum("saga_faults_total", &[]), 0.0);
    assert!(host.stop().success());
    assert!(rows(data.path(), "SELECT * FROM dead_letters").is_empty());
}

#[test]
fn handles_that_turns_leave_behind_are_bounded_and_charged_to_none_of_them() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    act(&host, 60, &json!({"do": "handles", "size": 10_000}));
    assert!(renewed(&host, "handles") > 10.0);
    assert_eq!(renewed(&host, "fault"), 0.0);
    // More than one instance may hold is a fault of the rules, and takes no memory of the host.
    let before = host.resident_memory();
    for _ in 0..20 {
        let answer = host.post(
            "mischief",
            "/acts/k",
            &json!({"do": "handles", "size": 1_000_000}),
        );
        let detail = broke(&answer, "out-of-memory");
        assert!(detail.contains("handles"), "{detail}");
    }
    let after = host.resident_memory();
    assert!(
        after < before + (64 << 20),
        "grew from {before} to {after} bytes"
    );
    assert!(host.stop().success());
}

#[test]
fn the_memory_of_a_fresh_instance_is_no_reason_to_renew_it() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    act(&host, 100, &json!({"do": "ballast", "size": 48 * MIB}));
    for reason in Renewal::ALL {
        assert_eq!(renewed(&host, reason.word()), 0.0, "{}", reason.word());
    }
    assert!(host.stop().success());
}

#[test]
fn decisions_that_break_the_contract_on_a_reused_instance_are_made_again_on_a_fresh_one() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path())
        .setting("turn.events", 5)
        .start();
    act(&host, 30, &json!({"do": "hoard"}));
    assert_eq!(
        renewed(&host, "fault"),
        5.0,
        "each sixth is one event too many"
    );
    // A fresh instance that breaks it is not asked again.
    let answer = host.post(
        "mischief",
        "/acts/k",
        &json!({"do": "many-events", "size": 6}),
    );
    broke(&answer, "output-too-large");
    assert_eq!(scrape(&host).sum("saga_faults_total", &[]), 1.0);
    assert!(host.stop().success());
}

fn message(number: u64) -> Message {
    Message {
        id: number.to_string(),
        source: "/test".into(),
        origin: Origin::Command,
        name: "count".into(),
        key: "k".into(),
        time: 7,
        correlation: "1".into(),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: "{}".into(),
    }
}

/// Chameleon with these settings, under a limit of memory of 64 MiB.
fn load(settings: Value) -> ConfiguredComponent {
    load_in(Runtime::new(GuestLimits::default()).unwrap(), settings)
}

fn load_in(runtime: Runtime, settings: Value) -> ConfiguredComponent {
    let bytes = Chameleon::new().with(settings).bytes();
    let digest = compile::digest(&bytes);
    let cache = CodeCache::none();
    let component = LoadedComponent::load(&runtime, &cache, &bytes, &digest, "chameleon").unwrap();
    Arc::new(component).configured(InstanceUse::Reused, RuleSettings::new(), "{}")
}

fn renewals(rules: &mut dyn Rules) -> HashMap<&'static str, u32> {
    let words = Renewal::ALL.map(Renewal::word);
    words.into_iter().zip(rules.upkeep().renewed).collect()
}

#[test]
fn leftovers_of_any_function_are_gone_on_a_fresh_instance() {
    let settings =
        |leak: usize| json!({"leak": leak, "state": {"version": 2, "oldest_readable": 1}});
    // It is described twice when it is loaded, and one instance has no room for two calls.
    let component = load(settings(40 * MIB));
    let clean = load(settings(0));
    let (mut leaking, mut clean) = (component.instance().unwrap(), clean.instance().unwrap());
    for number in 0..10 {
        let state = format!(r#"{{"count":{number}}}"#);
        let decided = leaking.handle(Some(&state), &message(number)).unwrap();
        let as_if_clean = clean.handle(Some(&state), &message(number)).unwrap();
        assert_eq!(decided.answer, as_if_clean.answer);
        assert_eq!(
            leaking.migrate(1, &state).unwrap(),
            clean.migrate(1, &state).unwrap()
        );
    }
    let of_leaking = renewals(leaking.as_mut());
    assert_eq!(
        (of_leaking["fault"], of_leaking["memory"]),
        (19, 0),
        "{of_leaking:?}"
    );
    assert_eq!(renewals(clean.as_mut())["fault"], 0);
}

#[test]
fn a_call_that_breaks_a_fresh_instance_is_made_once_and_one_that_breaks_a_reused_one_twice() {
    let settings = json!({"handle": {"count": "trap", "look": "look"}});
    let mut rules = load(settings).instance().unwrap();
    rules.handle(None, &message(1)).unwrap_err();
    assert!(!rules.renew(), "the fault was one of a fresh instance");
    assert_eq!(renewals(rules.as_mut())["fault"], 1);
    let look = Message {
        name: "look".into(),
        ..message(2)
    };
    rules.handle(None, &look).unwrap();
    rules.handle(None, &message(3)).unwrap_err();
    assert_eq!(renewals(rules.as_mut())["fault"], 2);
}

/// The replies of rules to these messages.
fn replies(rules: &mut dyn Rules, numbers: std::ops::Range<u64>) -> Vec<String> {
    let reply = |number| match rules.handle(None, &message(number)).unwrap().answer {
        Ok(outcome) => format!("{:?}", outcome.reply),
        Err(disposition) => format!("{disposition:?}"),
    };
    numbers.map(reply).collect()
}

#[test]
fn random_numbers_are_those_of_the_message_on_any_instance() {
    let component = load(json!({"handle": {"count": "tell-random"}}));
    let mut used = component.instance().unwrap();
    let first = replies(used.as_mut(), 0..5);
    assert_eq!(replies(used.as_mut(), 0..5), first, "again");
    assert_eq!(
        replies(component.instance().unwrap().as_mut(), 3..5),
        first[3..],
        "elsewhere"
    );
    assert_ne!(first[0], first[1]);
}

/// Pools with room, with too little, and none.
fn runtimes() -> [(&'static str, Runtime); 3] {
    let runtime = || Runtime::new(GuestLimits::default()).unwrap();
    [
        ("a pool", runtime().pooled(2)),
        ("a pool without room", runtime().pooled(0)),
        ("no pool", runtime()),
    ]
}

#[test]
fn a_fresh_instance_for_each_call_keeps_nothing() {
    for (place, runtime) in runtimes() {
        let component = load_in(runtime, json!({"handle": {"count": "tell-calls"}}));
        let mut reused = component.instance().unwrap();
        let mut fresh = component.fresh_instances().unwrap();
        let counted = replies(reused.as_mut(), 0..3);
        assert_ne!(counted[0], counted[2], "{place}");
        assert_eq!(
            replies(fresh.as_mut(), 0..3),
            vec![counted[0].clone(); 3],
            "{place}"
        );
        assert_eq!(renewals(fresh.as_mut())["fault"], 0, "{place}");
    }
}

#[test]
fn memory_of_a_call_is_gone_for_the_next_in_the_pool_and_bounded_there() {
    for (place, runtime) in runtimes() {
        // Two calls have no room in one instance.
        let component = load_in(runtime.clone(), json!({"leak": 40 * MIB}));
        let mut fresh = component.fresh_instances().unwrap();
        replies(fresh.as_mut(), 0..20);
        assert_eq!(renewals(fresh.as_mut())["fault"], 0, "{place}");
        let component = load_in(runtime, json!({"handle": {"count": "grow"}}));
        let fault = component
            .fresh_instances()
            .unwrap()
            .handle(None, &message(1))
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::OutOfMemory, "{place}: {fault}");
        assert!(
            replies(fresh.as_mut(), 0..1)[0].contains("count"),
            "{place}: others go on"
        );
    }
}

#[test]
fn more_instances_than_the_pool_has_room_for_are_made_without_it() {
    let runtime = Runtime::new(GuestLimits::default()).unwrap().pooled(1);
    let component = load_in(runtime, json!({"handle": {"count": "tell-random"}}));
    let expected = replies(component.instance().unwrap().as_mut(), 0..200);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut fresh = component.fresh_instances().unwrap();
                assert_eq!(replies(fresh.as_mut(), 0..200), expected);
            });
        }
    });
}

#[test]
fn a_participant_can_be_set_to_fresh_instances() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    let build = Chameleon::new().with(json!({"handle": {"count": [{"count": 1}, "tell-calls"]}}));
    build.write(&path);
    let host = crate::chameleon::start(&path, data.path())
        .setting("participants.chameleon.fresh_instances", true)
        .start();
    for _ in 0..5 {
        assert_eq!(crate::chameleon::count(&host, "k"), json!(0));
    }
    assert_eq!(crate::chameleon::look(&host, "k")["count"], 5);
    assert!(host.stop().success());
}
