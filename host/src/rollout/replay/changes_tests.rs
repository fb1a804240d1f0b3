use saga_core::message::Origin;
use serde_json::json;

use super::*;

fn example(seq: i64) -> Arc<Example> {
    Arc::new(Example {
        seq,
        key: "k".into(),
        revision: 0,
        time: 0,
        origin: "command".into(),
        name: "place".into(),
        message: "m".into(),
        body: "null".into(),
        state: None,
        own_state: None,
        decided: String::new(),
        would_decide: String::new(),
        parts: Vec::new(),
    })
}

fn message() -> Message {
    Message {
        id: "m".into(),
        source: "s".into(),
        origin: Origin::Command,
        name: "place".into(),
        key: "k".into(),
        time: 0,
        correlation: "c".into(),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: "null".into(),
    }
}

fn nothing() -> Outcome {
    Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
    }
}

/// A decision, by its number, that changed at these members of the state.
type Change = (i64, Vec<usize>);

fn counted<'c>(changes: impl Iterator<Item = &'c Change>) -> ChangeGroups {
    let mut counted = ChangeGroups::default();
    for (seq, members) in changes {
        let part = |member: &usize| Part {
            subject: ProbeSubject::State,
            pointer: format!("/m{member:04}"),
            decided: Some(json!(false)),
            would_decide: Some(json!(true)),
        };
        let changed = Changed {
            parts: members.iter().map(part).collect(),
            answer: TrialAnswer::Decided(Box::new(nothing())),
            recorded: nothing(),
            fuel: None,
        };
        counted.add(*seq, &message(), &changed, || example(*seq));
    }
    counted
}

/// The counts and the examples of the groups.
fn told(changes: ChangeGroups) -> Vec<(String, u64, Vec<i64>)> {
    let groups = changes.groups().into_iter().map(|group| {
        let examples = group.examples.iter().map(|one| one.seq).collect();
        let place = format!("{} {}", group.what, group.pointer);
        (place, group.count, examples)
    });
    groups.collect()
}

#[test]
fn groups_are_the_same_however_the_decisions_were_shared_out() {
    // Each decision changes three members, some of which lie behind those that are kept.
    let changes: Vec<Change> = (0..300)
        .map(|seq| (seq as i64, vec![seq, 299 - seq, seq / 2 + 100]))
        .collect();
    let once = told(counted(changes.iter()));
    assert_eq!(once.len(), PLACES + 1);
    let behind = |(_, members): &&Change| members.iter().any(|member| *member >= PLACES);
    let others: Vec<_> = changes.iter().filter(behind).map(|(seq, _)| *seq).collect();
    let expected = (
        "other places ".to_owned(),
        others.len() as u64,
        others[..EXAMPLES].to_vec(),
    );
    assert_eq!(once.last(), Some(&expected));
    assert_eq!(told(counted(changes.iter().rev())), once);
    let mut shared = ChangeGroups::default();
    for share in [2, 0, 1] {
        shared.merge(counted(changes.iter().skip(share).step_by(3)));
    }
    assert_eq!(told(shared), once);
}

#[test]
fn a_decision_is_counted_once_at_the_other_places() {
    let mut changes: Vec<Change> = vec![(0, (0..PLACES).collect())];
    changes.push((1, vec![PLACES, PLACES + 1]));
    changes.push((2, vec![0, PLACES + 7]));
    let told = told(counted(changes.iter()));
    assert_eq!(
        told.last(),
        Some(&("other places ".to_owned(), 2, vec![1, 2]))
    );
}
