//! Participants, generations and their last uses; quarantine, samples and lists.

use saga_contract::listing::FilterValue;
use saga_core::commit::Write;
use saga_core::message::Origin;
use saga_core::outcome::Reply;

use super::{NOW, Rig, SAGA, TestTurn, generation, journal_of, message, set};
use crate::base::generation::FuelTerms;
use crate::store::history::{ReleaseOutcome, ReleaseRequest};
use crate::store::sample::SampledTopic;
use crate::store::{Activation, Index, NewGeneration, Page, Tally, Verdict, Wanted};

impl Rig {
    pub(super) fn activation(&self, generation: i64, way: &'static str) -> Activation {
        Activation {
            participant: self.participant,
            generation,
            way,
            now: NOW,
            change: None,
            replaces: None,
            renamed: Vec::new(),
        }
    }

    pub(super) fn second(&self, state_version: u32) -> i64 {
        let second = generation("b", state_version);
        let registered = self.store.register_generation(self.participant, second);
        registered.unwrap()
    }

    pub(super) fn generation_of(&self, digest: &str, state_version: u32) -> i64 {
        let new = generation(digest, state_version);
        let registered = self.store.register_generation(self.participant, new);
        registered.unwrap()
    }

    fn asked(&self, name: &str, verdict: Verdict, time: u64) -> Tally {
        Tally {
            generation: self.generation,
            origin: Origin::Command,
            name: name.into(),
            verdict,
            time,
        }
    }
}

impl TestTurn {
    fn of_state_version(mut self, version: u32) -> Self {
        self.entry.state_version = version;
        self
    }
}

pub(crate) fn rows_are_registered_once(rig: Rig) {
    let reader = rig.reader();
    assert_eq!(reader.participant("owner"), Ok(Some(rig.participant)));
    assert_eq!(reader.participant("nobody"), Ok(None));
    assert_eq!(reader.topic("t"), Ok(Some(rig.topic)));
    assert_eq!(reader.topic("u"), Ok(None));
    let digest = |digest| {
        let found = reader.generation(rig.participant, digest).unwrap();
        found.map(|one| one.id)
    };
    assert_eq!((digest("a"), digest("b")), (Some(rig.generation), None));
    let (other, _) = rig.store.register_participant("another").unwrap();
    assert_ne!(other, rig.participant);
    let again = rig.store.register_participant("owner").unwrap();
    assert_eq!(again, (rig.participant, 0));
    assert_eq!(rig.store.register_topic("t"), Ok(rig.topic));
    let again = (rig.store).register_generation(rig.participant, generation("a", 9));
    assert_eq!(again, Ok(rig.generation));
    let others = rig.store.register_generation(other, generation("a", 1));
    assert_ne!(others, Ok(rig.generation), "each participant has its own");
    let names = vec!["another".to_owned(), "owner".to_owned()];
    assert_eq!(reader.participants(), Ok(names));
}

pub(crate) fn terms_of_fuel_are_kept_from_their_time_on(rig: Rig) {
    let (reader, of) = (rig.reader(), rig.participant);
    let known = || reader.generation(of, "a").unwrap().unwrap();
    assert_eq!(known().fuel_terms, [], "none were given");
    let terms = |version: u64, is_fresh| FuelTerms {
        engine: format!("engine {version}"),
        memory_bytes: 7,
        is_fresh,
    };
    let registered = |since, terms: Option<&FuelTerms>| {
        let generation = NewGeneration {
            fuel_terms: terms.cloned(),
            now: since,
            ..generation("a", 1)
        };
        rig.store.register_generation(of, generation).unwrap();
    };
    let (one, two) = (terms(1, false), terms(2, true));
    registered(10, Some(&one));
    registered(20, Some(&one));
    registered(25, None);
    registered(30, Some(&two));
    registered(40, Some(&one));
    let known = known();
    let since: Vec<_> = known.fuel_terms.iter().map(|one| one.since).collect();
    assert_eq!(since, [10, 30, 40]);
    for (time, expected) in [
        (9, None),
        (10, Some(&one)),
        (39, Some(&two)),
        (50, Some(&one)),
    ] {
        assert_eq!(known.fuel_terms_at(time), expected, "{time}");
    }
    rig.store
        .activate(&[rig.activation(rig.generation, "start")], &[])
        .unwrap();
    assert_eq!(reader.active(of), Ok(Some(known.clone())));
    assert_eq!(reader.generations(of).unwrap()[0].generation, known);
    for number in 0..200 {
        registered(50 + number, Some(&terms(number, true)));
    }
    let kept = reader.generation(of, "a").unwrap().unwrap().fuel_terms;
    assert!((10..200).contains(&kept.len()), "the latest are kept");
    assert_eq!(kept.last().unwrap().since, 249);
}

pub(crate) fn activations_are_kept_in_their_order(rig: Rig) {
    let (reader, of) = (rig.reader(), rig.participant);
    assert_eq!(reader.active(of), Ok(None));
    let second = rig.second(2);
    let first = rig.activation(rig.generation, "start");
    let next = rig.activation(second, "apply");
    let back = rig.activation(rig.generation, "rollback");
    rig.store.activate(&[first, next], &[]).unwrap();
    let active = reader.active(of).unwrap().unwrap();
    assert_eq!((&*active.digest, active.state_version), ("b", 2));
    let back = Activation {
        change: Some("a change".into()),
        ..back
    };
    rig.store.activate(&[back], &[]).unwrap();
    let ways: Vec<_> = reader.activations(of).unwrap();
    let expected = [
        (rig.generation, "start".to_owned()),
        (second, "apply".to_owned()),
        (rig.generation, "rollback".to_owned()),
    ];
    assert_eq!(ways, expected);
    let past = reader.generations(of).unwrap();
    let told: Vec<_> = (past.iter())
        .map(|one| (&*one.generation.digest, &*one.way, one.activations))
        .collect();
    assert_eq!(told, [("a", "rollback", 2), ("b", "apply", 1)]);
    let changes: Vec<_> = past.iter().map(|one| one.change.as_deref()).collect();
    assert_eq!(changes, [Some("a change"), None], "that of the last one");
    for number in 0..30 {
        let why = number.to_string();
        rig.store
            .note_refused(of, "file", &why, NOW + number)
            .unwrap();
    }
    let refused = reader.refused(of).unwrap();
    assert!((10..30).contains(&refused.len()), "the latest are kept");
    assert_eq!(refused[0], (NOW + 29, "file".into(), "29".into()));
}

pub(crate) fn an_activation_that_is_not_allowed_changes_nothing(rig: Rig) {
    let of = rig.participant;
    rig.store
        .activate(&[rig.activation(rig.generation, "start")], &[])
        .unwrap();
    let second = rig.second(2);
    // The check sees entries that were handed over before.
    let turn = rig.hand_in(rig.put(1, "k", 1, "{}"));
    let activate = |is_allowed| {
        let check = Box::new(move |reading: &dyn crate::store::ReadStore| {
            assert_eq!(reading.holds_states(of), Ok(true));
            Ok(is_allowed)
        });
        let activation = rig.activation(second, "apply");
        rig.store.activate_if(activation, check)
    };
    assert_eq!(activate(false), Ok(false));
    assert_eq!(turn.try_recv(), Ok(Ok(())));
    let reader = rig.reader();
    assert_eq!(reader.active(of).unwrap().unwrap().id, rig.generation);
    assert_eq!(activate(true), Ok(true));
    assert_eq!(reader.active(of).unwrap().unwrap().id, second);
}

pub(crate) fn what_was_asked_is_counted_by_generation(rig: Rig) {
    let of = rig.participant;
    let turn = |ticket, verdict, time| {
        let asked = rig.asked("place", verdict, time);
        rig.turn(ticket, "k").write(Write::Tally(asked))
    };
    rig.commit(turn(1, Verdict::Decided, NOW)).unwrap();
    rig.commit(turn(2, Verdict::Refused, NOW + 2)).unwrap();
    rig.store.count(rig.asked("place", Verdict::Fault, NOW + 1));
    rig.store.count(rig.asked("show", Verdict::Read, NOW + 9));
    let mut activation = rig.activation(rig.generation, "start");
    activation.renamed = vec![("place".into(), "owner".into())];
    rig.store.activate(&[activation], &[]).unwrap();
    let reader = rig.reader();
    let past = reader.generations(of).unwrap();
    let counts = (past[0].decisions, past[0].refusals, past[0].faults);
    assert_eq!(counts, (2, 1, 1));
    let last = |name| reader.last_asked(of, Origin::Command, name).unwrap();
    assert_eq!(
        (last("place"), last("show")),
        (Some(NOW + 2), Some(NOW + 9))
    );
    assert_eq!(
        last("owner"),
        Some(NOW + 2),
        "it is another name of the same"
    );
    assert_eq!(reader.last_asked(of, Origin::Event, "place"), Ok(None));
}

pub(crate) fn quarantined_aggregates_leave_when_their_state_is_readable(rig: Rig) {
    let (reader, of) = (rig.reader(), rig.participant);
    let quarantine = |ticket, key: &str, time| {
        let write = Write::Quarantine("no number".into(), time);
        rig.turn(ticket, key).write(write)
    };
    rig.commit(rig.put(1, "old", 1, "{}")).unwrap();
    let newer = rig.put(2, "new", 1, "{}");
    rig.commit(newer.of_state_version(2)).unwrap();
    rig.commit(rig.put(3, "lifted", 1, "{}")).unwrap();
    for (ticket, key) in [(4, "new"), (5, "old"), (6, "lifted")] {
        rig.commit(quarantine(ticket, key, NOW + ticket)).unwrap();
    }
    assert_eq!(reader.is_quarantined(of, "lifted"), Ok(true));
    let lift = rig.turn(7, "lifted").write(Write::QuarantineLifted);
    rig.commit(lift).unwrap();
    assert_eq!(reader.is_quarantined(of, "lifted"), Ok(false));
    let (count, first) = reader.quarantined(of, 1).unwrap();
    assert_eq!(
        (count, &*first[0].key, &*first[0].reason),
        (2, "new", "no number")
    );
    assert_eq!(reader.quarantined_up_to(of, 1), Ok(1));
    assert_eq!(reader.state_versions_outside(of, 2, 2), Ok(Some((1, 1))));
    let second = rig.second(2);
    rig.store
        .activate(&[rig.activation(second, "apply")], &[])
        .unwrap();
    assert_eq!(reader.quarantined_keys(of, 9), Ok(vec!["old".to_owned()]));
    assert_eq!(reader.sample_quarantined(of, 9).unwrap()[0].key, "old");
    assert_eq!(reader.state_versions_outside(of, 1, 2), Ok(None));
}

pub(crate) fn requests_to_release_an_aggregate_are_kept_with_their_outcomes(rig: Rig) {
    let (reader, of) = (rig.reader(), rig.participant);
    let note = |key: &str, time| rig.store.note_release(of, key, "ann", time).unwrap();
    let request = |key: &str, time, outcome| ReleaseRequest {
        key: key.into(),
        by: "ann".into(),
        time,
        outcome,
    };
    let (failed, released) = (note("a", NOW), note("a", NOW + 1));
    note("b", NOW + 2);
    let why = ReleaseOutcome::Failed("no number".into());
    let outcomes = [(failed, &why), (released, &ReleaseOutcome::Released)];
    for (row, outcome) in outcomes {
        (rig.store)
            .note_release_outcome(row, outcome.clone())
            .unwrap();
    }
    let expected = [
        request("b", NOW + 2, ReleaseOutcome::Unknown),
        request("a", NOW + 1, ReleaseOutcome::Released),
        request("a", NOW, why),
    ];
    assert_eq!(reader.releases(of).unwrap(), expected);
    for number in 0..200 {
        note("c", NOW + 3 + number);
    }
    let kept = reader.releases(of).unwrap();
    assert_eq!((kept.len(), kept[0].time), (100, NOW + 202));
}

pub(crate) fn samples_have_something_of_each_kind(rig: Rig) {
    let (reader, of) = (rig.reader(), rig.participant);
    for number in 1..=20 {
        let turn = rig.put(number, &number.to_string(), 1, "{}");
        rig.commit(turn.timers(vec![set("usual", NOW + number)]))
            .unwrap();
    }
    let rare = (rig.turn(21, "rare").of_state_version(2))
        .notes("event")
        .write(Write::State(Some("{\"rare\":1}".into()), 1, SAGA.into()))
        .publishes(rig.row("out"))
        .timers(vec![set("rare", NOW + 5)])
        .write(Write::Journal(journal_of("cancel", "rare", 0)));
    rig.commit(rare).unwrap();
    let recorded = reader.sample_journal(of, 4).unwrap();
    assert_eq!(recorded.len(), 4);
    let rare = recorded.iter().find(|one| one.message.name == "cancel");
    let rare = rare.unwrap();
    assert_eq!(rare.message, message("cancel", "rare"));
    let reply = Some(Reply::Done("\"cancel rare\"".into()));
    assert_eq!(rare.outcome.reply, reply);
    let states = reader.sample_states(of, 4).unwrap();
    assert_eq!(states.len(), 4);
    assert!(states.iter().any(|one| one.stored.state_version == 2));
    let timers = reader.sample_timers(of, 4).unwrap();
    assert!(timers.is_sorted_by_key(|one| one.timer.due));
    assert!(timers.iter().any(|one| one.timer.name == "rare"));
    let name = "t".into();
    let topic = SampledTopic {
        consumer: Some("log:owner/g"),
        row: rig.topic,
        name: &name,
    };
    assert_eq!(reader.sample_unread(of, topic, 9).unwrap().len(), 1);
    assert_eq!(reader.sample_parked(of, 9), Ok(vec![]));
}

pub(crate) fn lists_are_paged_in_the_order_of_length_and_key(rig: Rig) {
    let (reader, of) = (rig.reader(), rig.participant);
    for (number, (key, colour)) in [("10", "red"), ("9", "red"), ("2", "blue"), ("100", "red")]
        .into_iter()
        .enumerate()
    {
        let state = format!(r#"{{"colour":"{colour}"}}"#);
        rig.commit(rig.put(number as u64 + 1, key, 1, &state))
            .unwrap();
    }
    let indexes = [Index::of(of, None), Index::of(of, Some("/colour"))];
    assert_eq!(reader.compare_indexes(of, &indexes), Ok((false, false)));
    rig.store.create_indexes(&indexes).unwrap();
    assert_eq!(reader.compare_indexes(of, &indexes), Ok((true, false)));
    let page = |colour: Option<&str>, after: Option<&str>, most| {
        let wanted = Wanted {
            participant: of,
            filters: (colour.into_iter())
                .map(|colour| ("/colour".into(), FilterValue::Text(colour.into())))
                .collect(),
            after: after.map(str::to_owned),
            most,
        };
        let Page { keys, next } = reader.page(&wanted).unwrap();
        (keys.join(" "), next)
    };
    assert_eq!(page(None, None, 3), ("2 9 10".into(), Some("10".into())));
    assert_eq!(page(None, Some("10"), 3), ("100".into(), None));
    assert_eq!(page(Some("red"), None, 9), ("9 10 100".into(), None));
    assert_eq!(page(Some("green"), None, 9), (String::new(), None));
    rig.store.drop_indexes(of, &indexes[..1]).unwrap();
    assert_eq!(reader.compare_indexes(of, &indexes), Ok((false, false)));
    assert_eq!(reader.compare_indexes(of, &indexes[..1]), Ok((true, false)));
    assert_eq!(reader.compare_indexes(of, &[]), Ok((true, true)));
}
