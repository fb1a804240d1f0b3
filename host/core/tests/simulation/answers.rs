//! The answers to a worker's questions, from the store and from the rules; and the trace of its
//! reports.

use std::rc::Rc;

use saga_core::commit::{LetterPlace, Parked, StoredAggregate};
use saga_core::message::{Envelope, Origin};
use saga_core::outcome::{Outcome, Refusal, Reply, StateChange};
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use saga_core::worker::{Ask, Loaded, WorkerAnswer, WorkerReport};

use crate::checker::must;
use crate::faults::Faulty;
use crate::host::Answer;
use crate::rules::{Body, SagaRules};
use crate::scene::{Broken, Scene};
use crate::thread::Around;

/// Loads from the store.
pub(crate) fn load(ask: Ask<'_>, around: &mut Around<'_>) -> Result<Loaded, ()> {
    let (store, scene) = (around.store, &mut *around.scene);
    if scene.random.percent(1) && !scene.dice.calm.get() {
        scene.note("store-unreadable", format_args!("{ask:?}"));
        return Err(());
    }
    let forgotten = scene.is_broken(Broken::DeadLetterForgotten);
    let unseen = scene.is_broken(Broken::InboxNotConsulted);
    let identity = ask.identity.filter(|_| !unseen);
    let place = ask.place.filter(|_| !forgotten);
    let is_known = [identity, place]
        .into_iter()
        .flatten()
        .any(|identity| store.inbox.contains(identity));
    if is_known {
        scene.note("repeated", format_args!("{ask:?}"));
    }
    let aggregate = ask.aggregate.map(|key| {
        let stored = store.aggregates.get(key).cloned().unwrap_or_default();
        StoredAggregate {
            state: stored.state.as_deref().map(str::to_owned),
            revision: stored.revision,
            state_version: stored.version,
            correlation: stored.correlation,
        }
    });
    let timer = ask.timer.and_then(|fired| store.timer(fired).cloned());
    let parked = ask
        .parked
        .and_then(|(key, after)| store.next_parked(key, after));
    if let Some(row) = &parked {
        let key = ask.parked.map_or("", |(key, _)| key);
        scene.note(
            "offered-again",
            format_args!("{} of {key}, {:?}", row.id, row.letter),
        );
    }
    let key = ask.aggregate.filter(|_| scene.is_shared);
    let mut keys = ask.quarantined.into_iter().chain(key);
    let is_quarantined = keys.any(|key| store.quarantined.contains(key));
    // What is known of parked messages is a hint: the commit compares.
    let is_told = !scene.is_broken(Broken::ParkedNotCompared);
    let held = key.filter(|_| is_told).and_then(|key| {
        let mut keys = store.parked_keys().into_iter();
        keys.find(|parked| parked.key == key)
    });
    let letter = ask.letter.filter(|_| is_known).and_then(|identity| {
        let mut letters = store.letters.iter();
        letters.find_map(|(id, letter)| match &store.parked.get(&letter.parked)?.1 {
            Parked::Event(event) if event.identity == *identity => Some(LetterPlace {
                letter: *id,
                key: letter.key.clone(),
                position: event.record.position.clone(),
            }),
            _ => None,
        })
    });
    Ok(Loaded {
        letter: letter.map(Box::new),
        is_known,
        held,
        aggregate,
        timer,
        parked,
        is_quarantined,
    })
}

/// Calls the rules of a build.
pub(crate) fn call(
    build: &Rc<SagaRules>,
    state: Option<&str>,
    envelope: &Envelope,
    scene: &mut Scene,
) -> Result<Decision, Fault> {
    let message = &envelope.message;
    if state.is_some() && scene.dice.is_blind(&build.digest, &message.key) {
        scene.unreadable.insert(message.id.clone());
        return Err(Fault::new(FaultKind::Trap, "can't read the state"));
    }
    let mut rules = Faulty {
        rules: (**build).clone(),
        dice: scene.dice.clone(),
    };
    match rules.handle(state, message) {
        Err(_) if scene.is_broken(Broken::RefusalOnFault) && message.name != "get" => {
            Ok(Decision {
                answer: Ok(no(envelope)),
                fuel: 0,
            })
        }
        decided => decided,
    }
}

pub(crate) fn migrate(
    build: &Rc<SagaRules>,
    (version, state): (u32, &str),
    key: &str,
    scene: &mut Scene,
) -> Result<String, Fault> {
    if scene.dice.is_blind(&build.digest, key) {
        return Err(Fault::new(FaultKind::Migration, "can't read the state"));
    }
    if version != build.shape.version {
        let digest = &build.digest;
        // What is in memory may be of an older shape than what another host has stored: then it is
        // loaded, since its rules can't read it.
        let may_ask = build.shape.reads(version) || scene.is_shared;
        scene.check(must(may_ask, 6, || {
            format!("{key} has a state of version {version}, which {digest} can't read")
        }));
        scene.note("migration", format_args!("{key} from {version}"));
    }
    (**build).clone().migrate(version, state)
}

pub(crate) fn told(answer: WorkerAnswer<()>) -> Answer {
    match answer {
        WorkerAnswer::Replied(replied) => Answer::Replied(replied.reply),
        WorkerAnswer::StateRead(_) => Answer::StateRead,
        WorkerAnswer::Malformed(_) => Answer::Malformed,
        WorkerAnswer::CheckAgain(_) | WorkerAnswer::TryLater(_) => Answer::TryLater,
        WorkerAnswer::Broke(..) => Answer::Broke,
        WorkerAnswer::Quarantined(_) => Answer::Quarantined,
        WorkerAnswer::Blocked => Answer::Blocked,
        WorkerAnswer::StoreFailed(()) => Answer::StoreFailed,
    }
}

pub(crate) fn tell(report: WorkerReport, scene: &mut Scene) {
    match report {
        WorkerReport::DeadLetter(letter) => scene.note("dead-letter", format_args!("{letter:?}")),
        WorkerReport::TimerParked(timer) => scene.note("timer-parked", format_args!("{timer:?}")),
        WorkerReport::Quarantined(key, _) => scene.note("quarantined", format_args!("{key}")),
        WorkerReport::NoRoom { key, .. } => scene.note("no-room", format_args!("{key}")),
        WorkerReport::DroppedForLetter(key, _, letter) => {
            scene.note("dropped-for-letter", format_args!("{key}: {letter:?}"));
        }
        WorkerReport::FailedRedrive(key, _) => scene.note("redrive-failed", format_args!("{key}")),
        WorkerReport::Fault(_) | WorkerReport::Broke(..) => {}
    }
}

/// The decision of a host that takes a fault for a refusal.
fn no(envelope: &Envelope) -> Outcome {
    let mut events = Vec::new();
    if let Ok(body) = serde_json::from_str::<Body>(&envelope.message.body) {
        let body = Body {
            state: "REJECTED".into(),
            ..body
        };
        events.push(saga_core::outcome::Event {
            event_type: "credit-answered".into(),
            key: body.account.clone(),
            body: serde_json::to_string(&body).expect("a body is JSON"),
        });
    }
    let refusal = Refusal {
        kind: saga_contract::description::RefusalKind::Conflict,
        code: "no".into(),
        detail: "no".into(),
        pointer: None,
    };
    let answers = envelope.message.origin == Origin::Command;
    Outcome {
        state: StateChange::Unchanged,
        events,
        timers: Vec::new(),
        reply: answers.then_some(Reply::Refused(refusal)),
    }
}
