//! Rules that are no function of their input are found before they are active.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count};
use crate::commands::{asks, call, fails};

const SAID: &str = "it is not a function of its input: on ";

fn telling(version: &str, act: &str) -> Chameleon {
    let acts = json!([{"count": 1}, act]);
    Chameleon::new()
        .version(version)
        .with(json!({"handle": {"count": acts}}))
}

fn written(data: &Path, name: &str, build: &Chameleon) -> String {
    let path = data.join(name);
    build.write(&path);
    path.to_str().unwrap().to_owned()
}

#[test]
fn invariant_7_rules_that_decide_on_what_an_instance_keeps_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = chameleon::serve(data, &Chameleon::new());
    // One recorded decision is enough.
    count(&host, "k");
    for (act, place) in [
        ("tell-calls", "reply /done: "),
        ("tell-hash-order", "reply /done/"),
    ] {
        let path = written(data, "keeps.wasm", &telling("1.0.0", act));
        let (code, err) = fails(&mut asks(data, &["verify", &path]));
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(SAID), "{err}");
        assert!(
            err.contains("`count` of aggregate k, ") && err.contains(place),
            "{err}"
        );
        assert!(err.contains(" on a fresh one; "), "{err}");
        let (code, err) = fails(&mut asks(data, &["apply", "chameleon", &path]));
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(SAID), "{err}");
    }
    assert_eq!(count(&host, "k"), json!({"count": 2, "by": "1.0.0"}));
    assert!(host.stop().success());
}

#[test]
fn the_same_component_must_repeat_what_it_decided() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let build = telling("1.0.0", "tell-calls");
    let host = chameleon::serve(data, &build);
    for _ in 0..7 {
        count(&host, "k");
    }
    assert!(host.stop().success());
    let same = written(data, "same.wasm", &build);
    let (code, err) = fails(&mut asks(data, &["verify", &same]));
    assert_eq!(code, 65, "{err}");
    assert!(
        err.contains(SAID) && err.contains("was decided by the same rules before"),
        "{err}"
    );
}

#[test]
fn random_numbers_follow_from_the_message_so_that_decisions_can_be_repeated() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let build = telling("1.0.0", "tell-random");
    let host = chameleon::serve(data, &build);
    let told: Vec<Value> = (0..5).map(|_| count(&host, "k")).collect();
    for (at, numbers) in told.iter().enumerate() {
        assert_ne!(numbers[0], numbers[1], "{told:?}");
        assert!(
            !told[..at].contains(numbers),
            "each message has its own: {told:?}"
        );
    }
    assert!(host.stop().success());
    let same = written(data, "same.wasm", &build);
    let (code, out, err) = call(&mut asks(data, &["verify", &same, "--fail-on-changed"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("0 of 5 recorded inputs decided differently"),
        "{out}"
    );
}
