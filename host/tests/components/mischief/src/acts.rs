//! The acts, one word each.

use saga_sdk::bindings::saga::participant::types::{
    Disposition, Event, Message, Outcome, Refusal, RefusalKind, Reply, StateChange, Timer,
    TimerChange,
};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "do")]
    act: String,
    size: Option<usize>,
    then: Option<String>,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Count {
    count: u64,
}

/// Does what the body's `do` says; a word that is not in this list is malformed.
///
/// - Behaves: `count` (counts, publishes `noise`, replies), `look` (replies with the count), `refuse`,
///   `timer` (sets the timer `mischief` to this moment, to do what the body's `then` says, or `count`),
///   `remove`.
/// - Undecided: `malformed`, `retry-later`.
/// - Breaks the machine: `trap`, `panic`, `spin`, `allocate` (without end), `recurse` (without end),
///   `sleep`, `print` (`size` bytes each to stdout and stderr).
/// - Leaves something behind in its instance: `leak` (`size` bytes of memory each time), `ballast` (`size` bytes, once),
///   `handles` (`size` handles to clocks), `hoard` (publishes what it has published before, and one event more). Otherwise they count.
/// - Looks around: `clock` (replies with its milliseconds since 1970), `random` (with a number of its own),
///   `environment` (with how many variables and arguments it sees), `file` (with whether it can list `/`,
///   read a file or write one), `stdin` (with how many bytes it reads).
/// - Too much: `big-reply`, `big-state`, `big-event`, `many-events`, `many-timers`, `long-key`,
///   `long-refusal`, `long-malformed`.
/// - Nonsense: `reply-no-json`, `state-no-json`, `event-no-json`, `timer-no-json`, `no-reply`,
///   `undeclared-event`, `undeclared-timer`, `cancel-undeclared-timer`, `empty-event-key`,
///   `event-key-with-nul`; of other schemas than it declares: `reply-misfit`, `state-misfit`,
///   `event-misfit`, `timer-misfit`, `undeclared-refusal`. As a read, `count` is nonsense too: a read with effects.
///
/// # Errors
/// The undecided answer that it was asked for.
pub fn act(state: Option<String>, message: &Message) -> Result<Outcome, Disposition> {
    let body = body(message)?;
    let size = body.size.unwrap_or(1_000_000);
    let present = count(state.as_deref())?;
    let next = Count {
        count: present.count.saturating_add(1),
    };
    let counted = || outcome(StateChange::Put(json(&next)), Reply::Done(json(&next)));
    let idle = |reply: String| outcome(StateChange::Unchanged, Reply::Done(reply));
    let events = |events: Vec<Event>| Outcome {
        events,
        ..counted()
    };
    let timers = |timers: Vec<TimerChange>| Outcome {
        timers,
        ..counted()
    };
    let now = |name: &str, body: &str| {
        TimerChange::Set(Timer {
            name: name.to_owned(),
            due: message.time,
            body: body.to_owned(),
        })
    };
    let key = message.key.as_str();
    Ok(match body.act.as_str() {
        "count" => events(vec![event("noise", key, &json(&next))]),
        "look" => idle(json(&present)),
        "refuse" => refused("no", "It was asked to refuse.".to_owned()),
        "timer" => {
            let then = body.then.as_deref().unwrap_or("count");
            timers(vec![now("mischief", &format!(r#"{{"do":"{then}"}}"#))])
        }
        "remove" => outcome(StateChange::Remove, Reply::Done(json(&present))),

        "malformed" => return Err(Disposition::Malformed("it was asked to".to_owned())),
        "retry-later" => return Err(Disposition::RetryLater("it was asked to".to_owned())),

        "trap" => trap(),
        "panic" => panicking(),
        "spin" => spin(),
        "allocate" => allocate(),
        "recurse" => idle(recurse(1).to_string()),
        "clock" => idle(clock()),
        "random" => idle(random()),
        "environment" => idle((std::env::vars().count() + std::env::args().count()).to_string()),
        "file" => idle(sees_files().to_string()),
        "stdin" => idle(stdin().to_string()),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(1));
            counted()
        }
        "print" => {
            let text = "x".repeat(size);
            println!("{text}");
            eprintln!("{text}");
            counted()
        }

        "leak" => {
            leak(size);
            counted()
        }
        "ballast" => {
            ballast(size);
            counted()
        }
        "handles" => {
            handles(size);
            counted()
        }
        "hoard" => events(vec![event("noise", key, "1"); hoarded()]),

        "big-reply" => idle(string(size)),
        "big-state" => outcome(StateChange::Put(string(size)), Reply::Done(json(&next))),
        "big-event" => events(vec![event("noise", key, &string(size))]),
        "many-events" => events((0..size).map(|_| event("noise", key, "1")).collect()),
        "many-timers" => timers((0..size).map(|_| now("mischief", "1")).collect()),
        "long-key" => events(vec![event("noise", &"k".repeat(size), "1")]),
        "long-refusal" => refused("no", "x".repeat(size)),
        "long-malformed" => return Err(Disposition::Malformed("x".repeat(size))),

        "reply-no-json" => idle("{not json".to_owned()),
        "state-no-json" => outcome(
            StateChange::Put("{not json".into()),
            Reply::Done(json(&next)),
        ),
        "event-no-json" => events(vec![event("noise", key, "{not json")]),
        "timer-no-json" => timers(vec![now("mischief", "{not json")]),
        "no-reply" => Outcome {
            reply: None,
            ..counted()
        },
        "undeclared-event" => events(vec![event("no-such-event", key, "1")]),
        "undeclared-timer" => timers(vec![now("no-such-timer", "1")]),
        "cancel-undeclared-timer" => timers(vec![TimerChange::Cancel("no-such-timer".into())]),
        "empty-event-key" => events(vec![event("noise", "", "1")]),
        "reply-misfit" => idle(r#"{"cout":1}"#.to_owned()),
        "state-misfit" => outcome(
            StateChange::Put(r#"{"count":"one"}"#.into()),
            Reply::Done(json(&next)),
        ),
        "event-misfit" => events(vec![event("noise", key, r#"{"count":"x"}"#)]),
        "timer-misfit" => timers(vec![now("mischief", r#"{"do":7}"#)]),
        "undeclared-refusal" => refused("never", "It was asked to refuse.".to_owned()),
        "event-key-with-nul" => events(vec![event("noise", "a\0b", "1")]),

        other => {
            return Err(Disposition::Malformed(format!(
                "mischief knows no {other:?}"
            )));
        }
    })
}

/// Reads the body; of a `look`, the path.
fn body(message: &Message) -> Result<Body, Disposition> {
    let in_path = message.parameters.iter().find(|one| one.name == "do");
    if let Some(parameter) = in_path {
        return Ok(Body {
            act: parameter.value.clone(),
            size: None,
            then: None,
        });
    }
    serde_json::from_str(&message.body).map_err(|error| Disposition::Malformed(error.to_string()))
}

fn count(state: Option<&str>) -> Result<Count, Disposition> {
    match state {
        None => Ok(Count::default()),
        // What `big-state` left is no count: begin anew.
        Some(text) => Ok(serde_json::from_str(text).unwrap_or_default()),
    }
}

fn outcome(state: StateChange, reply: Reply) -> Outcome {
    Outcome {
        state,
        events: vec![],
        timers: vec![],
        reply: Some(reply),
    }
}

fn refused(code: &str, detail: String) -> Outcome {
    let refusal = Refusal {
        kind: RefusalKind::Conflict,
        code: code.to_owned(),
        detail,
        pointer: None,
    };
    outcome(StateChange::Unchanged, Reply::Refused(refusal))
}

fn event(event_type: &str, key: &str, body: &str) -> Event {
    Event {
        event_type: event_type.to_owned(),
        key: key.to_owned(),
        body: body.to_owned(),
    }
}

fn json(count: &Count) -> String {
    format!(r#"{{"count":{}}}"#, count.count)
}

/// A JSON string of about this many bytes.
fn string(size: usize) -> String {
    format!("\"{}\"", "x".repeat(size))
}

/// Milliseconds since 1970, as the component's own clock has them.
fn clock() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis()).to_string()
}

fn sees_files() -> bool {
    let read = std::fs::read_dir("/").is_ok() || std::fs::File::open("/etc/hostname").is_ok();
    read || std::fs::write("mischief.txt", "was here").is_ok()
}

/// How many bytes it can read from its standard input.
fn stdin() -> usize {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut text).unwrap_or(0)
}

fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(1).to_string()
}

fn trap() -> ! {
    std::process::abort()
}

#[allow(clippy::panic, reason = "this is what the act is for")]
fn panicking() -> ! {
    panic!("mischief was asked to panic")
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn allocate() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn leak(size: usize) {
    std::mem::forget(black_box(vec![1_u8; size]));
}

fn ballast(size: usize) {
    static BALLAST: std::sync::Once = std::sync::Once::new();
    BALLAST.call_once(|| leak(size));
}

/// How often it was called on this instance.
fn hoarded() -> usize {
    static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    CALLS
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        .saturating_add(1)
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the standard library would close the handles")]
fn handles(number: usize) {
    #[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.2.6")]
    unsafe extern "C" {
        #[link_name = "subscribe-duration"]
        fn subscribe_duration(nanoseconds: u64) -> i32;
    }
    for _ in 0..number {
        // SAFETY: takes a number and gives a handle, as the interface says.
        let _kept = unsafe { subscribe_duration(1) };
    }
}

#[cfg(not(target_family = "wasm"))]
fn handles(_: usize) {}

#[allow(unconditional_recursion, reason = "this is what the act is for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth.wrapping_add(1)).wrapping_add(frame.iter().sum::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_sdk::bindings::saga::participant::types::Origin;

    fn message(body: &str) -> Message {
        Message {
            id: "1".to_owned(),
            source: "/test".to_owned(),
            origin: Origin::Event,
            name: "mischief".to_owned(),
            key: "k".to_owned(),
            time: 7,
            correlation: "1".to_owned(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: vec![],
            body: body.to_owned(),
        }
    }

    #[test]
    fn count_behaves() {
        let state = Some(r#"{"count":4}"#.to_owned());
        let next = r#"{"count":5}"#;
        let expected = Outcome {
            state: StateChange::Put(next.to_owned()),
            events: vec![event("noise", "k", next)],
            timers: vec![],
            reply: Some(Reply::Done(next.to_owned())),
        };
        let body = r#"{"key":"k","do":"count"}"#;
        assert_eq!(act(state, &message(body)).ok(), Some(expected));
    }

    #[test]
    fn an_unknown_word_is_malformed() {
        let verdict = act(None, &message(r#"{"do":"dance"}"#));
        assert!(matches!(verdict, Err(Disposition::Malformed(why)) if why.contains("dance")));
    }
}
