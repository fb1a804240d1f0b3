//! The delivery of messages to an aggregate: which, when, and in which order.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use saga_sdk::testing::together::{World, together};
use saga_sdk::{
    Command, Contract, Decision, EventType, Method, Participant, Refusal, RefusalType,
    Subscription, Timer, Turn,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Note {
    to: String,
    number: u32,
}

const SENT: EventType<Note> = EventType::new("sent", "notes");
const UNREAD: EventType<Note> = EventType::new("unread", "notes");
const ALARM: Timer<u32> = Timer::new("alarm");
const TICK: Timer<()> = Timer::new("tick");
const CLOSED: RefusalType = RefusalType::conflict("closed", "The box is closed.");

/// The messages that reached a box, with their times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Box {
    is_open: bool,
    got: Vec<(u32, u64)>,
}

struct Boxes;

impl Participant for Boxes {
    type State = Box;
    type Key = String;

    fn contract() -> Contract<Box> {
        Contract::new("boxes", "1.0.0", "Keeps what it gets.")
            .command(
                Command::upsert(
                    "open",
                    Method::Post,
                    "/boxes/{box}/open",
                    |state: Option<Box>, (): (), _: &Turn| {
                        let state = state.unwrap_or_default();
                        Decision::put(Box {
                            is_open: true,
                            ..state
                        })
                        .reply(())
                    },
                )
                .summary("Opens a box."),
            )
            .command(
                Command::change(
                    "close",
                    Method::Post,
                    "/boxes/{box}/close",
                    |state: Box, (): (), _: &Turn| match state.is_open {
                        true => Ok(Decision::put(Box {
                            is_open: false,
                            ..state
                        })
                        .reply(())),
                        false => Err(Refusal::new(CLOSED, "It is closed.")),
                    },
                )
                .summary("Closes a box.")
                .refuses(CLOSED),
            )
            .command(
                Command::change(
                    "alarm",
                    Method::Post,
                    "/boxes/{box}/alarm",
                    |state: Box, after: u32, turn: &Turn| {
                        let due = turn.time() + u64::from(after);
                        Decision::put(state)
                            .set_timer(ALARM, due, &after)
                            .reply(due)
                    },
                )
                .summary("Sets an alarm."),
            )
            .command(
                Command::change(
                    "tick",
                    Method::Post,
                    "/boxes/{box}/tick",
                    |state: Box, (): (), turn: &Turn| {
                        Decision::put(state)
                            .set_timer(TICK, turn.time(), &())
                            .reply(())
                    },
                )
                .summary("Ticks from now on."),
            )
            .on(Subscription::to(
                SENT,
                "boxes",
                "/to",
                |state: Option<Box>, note: Note, turn: &Turn| {
                    if note.number == 13 {
                        return Decision::malformed("13 brings bad luck");
                    }
                    match state {
                        Some(state) if state.is_open => got(state, note.number, turn),
                        _ => Decision::retry_later("the box is closed"),
                    }
                },
            ))
            .timer(ALARM, |state: Box, number: u32, turn: &Turn| {
                got(state, number, turn)
            })
            .timer(TICK, |state: Box, (): (), turn: &Turn| {
                Decision::put(state).set_timer(TICK, turn.time() + 1_000, &())
            })
    }
}

/// Another reader of the same events.
struct Copies;

impl Participant for Copies {
    type State = Vec<u32>;
    type Key = String;

    fn contract() -> Contract<Vec<u32>> {
        Contract::new("copies", "1.0.0", "Keeps what others get.").on(Subscription::to(
            SENT,
            "copies",
            "/to",
            |copies: Option<Vec<u32>>, note: Note, _: &Turn| {
                let mut copies = copies.unwrap_or_default();
                copies.push(note.number);
                Decision::put(copies)
            },
        ))
    }
}

fn got(mut state: Box, number: u32, turn: &Turn) -> Decision<Box> {
    state.got.push((number, turn.time()));
    Decision::put(state)
}

fn send(world: &mut World, to: &str, number: u32) {
    let to = to.to_owned();
    world.publish(SENT, to.clone(), &Note { to, number });
}

fn numbers(world: &World, key: &str) -> Vec<u32> {
    let state = world.state::<Boxes>(key).unwrap_or_default();
    state.got.iter().map(|(number, _)| *number).collect()
}

#[test]
fn events_of_a_key_stay_in_order_and_those_of_different_keys_need_not() {
    let overtaken = Cell::new(0);
    together().with::<Boxes>().check(300, |world| {
        for key in ["a", "b"] {
            world.send_to::<Boxes>(key, "open", &());
        }
        for number in 0..6 {
            send(world, "a", number);
            send(world, "b", number);
        }
        world.settle();
        let times = |key: &str| world.state::<Boxes>(key).unwrap().got;
        let (a, b) = (times("a"), times("b"));
        assert_eq!(numbers(world, "a"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(numbers(world, "b"), [0, 1, 2, 3, 4, 5]);
        let is_overtaken = a.iter().zip(&b).any(|((_, a), (_, b))| b < a);
        overtaken.set(overtaken.get() + u32::from(is_overtaken));
    });
    assert!(overtaken.get() > 50, "{}", overtaken.get());
}

#[test]
fn what_is_put_off_comes_again_in_order_and_at_once_after_a_command() {
    together().with::<Boxes>().check(300, |world| {
        for number in 0..3 {
            send(world, "a", number);
        }
        world.run(10);
        assert_eq!(numbers(world, "a"), [0; 0]);
        world.send_to::<Boxes>("a", "open", &());
        let opened = world.time();
        world.settle();
        assert_eq!(numbers(world, "a"), [0, 1, 2]);
        let first = world.state::<Boxes>("a").unwrap().got.first().unwrap().1;
        assert!(first >= opened);
    });
}

#[test]
fn a_command_that_changes_the_aggregate_has_it_tried_at_once() {
    // Seed 0, in which nothing else happens meanwhile.
    together().with::<Boxes>().check(1, |world| {
        send(world, "a", 1);
        world.run(15);
        let closed = world.time();
        world.send_to::<Boxes>("a", "open", &());
        world.run(1);
        assert_eq!(numbers(world, "a"), [1]);
        assert_eq!(world.time(), closed);
    });
}

#[test]
fn a_message_that_is_put_off_for_ever_becomes_a_dead_letter_that_lets_commands_pass() {
    together().with::<Boxes>().check(20, |world| {
        send(world, "a", 1);
        send(world, "a", 2);
        let start = world.time();
        world.settle();
        assert!(
            world.time() >= start + 600_000,
            "a host tries for ten minutes"
        );
        let letters = world.take_dead_letters();
        assert_eq!(
            letters.len(),
            1,
            "the second waits behind the first: {letters:?}"
        );
        assert!(
            letters.first().unwrap().reason.contains("used up"),
            "{letters:?}"
        );
        assert!(world.send_to::<Boxes>("a", "open", &()).is_done());
        assert!(world.send_to::<Boxes>("a", "close", &()).is_done());
        world.settle();
        assert_eq!(numbers(world, "a"), [0; 0]);
    });
}

#[test]
fn later_messages_and_commands_wait_behind_a_malformed_event() {
    together().with::<Boxes>().check(100, |world| {
        for key in ["a", "b"] {
            world.send_to::<Boxes>(key, "open", &());
        }
        for number in [1, 13, 2] {
            send(world, "a", number);
        }
        send(world, "b", 3);
        world.settle();
        assert_eq!(
            (numbers(world, "a"), numbers(world, "b")),
            (vec![1], vec![3])
        );
        let letters = world.take_dead_letters();
        assert_eq!(letters.len(), 1);
        let letter = letters.first().unwrap();
        assert_eq!((&*letter.participant, &*letter.name), ("boxes", "sent"));
        assert_eq!(letter.key.as_deref(), Some("a"));
        assert!(letter.reason.contains("bad luck"), "{letter:?}");
        let blocked = world.send_to::<Boxes>("a", "alarm", &5);
        assert!(
            blocked.problem().unwrap().contains("dead letter"),
            "{blocked:?}"
        );
        assert!(world.send_to::<Boxes>("b", "alarm", &5).is_done());
        world.settle();
    });
}

#[test]
fn an_event_without_a_key_blocks_nothing_and_one_that_nobody_reads_is_passed_over() {
    together().with::<Boxes>().check(20, |world| {
        world.send_to::<Boxes>("a", "open", &());
        world.publish(SENT, "a", &serde_json::json!({"number": 1}));
        world.publish(UNREAD, "a", &serde_json::json!("anything"));
        send(world, "a", 2);
        world.settle();
        assert_eq!(numbers(world, "a"), [2]);
        let letters = world.take_dead_letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters.first().unwrap().key, None);
    });
}

#[test]
fn timers_fire_when_they_are_due_or_later_and_never_before() {
    let late = Cell::new(0);
    together().with::<Boxes>().check(200, |world| {
        world.send_to::<Boxes>("a", "open", &());
        let due: u64 = world.send_to::<Boxes>("a", "alarm", &5_000).reply();
        world.advance(Duration::from_millis(due - 1 - world.time().min(due - 1)));
        if world.time() < due {
            assert_eq!(numbers(world, "a"), [0; 0]);
        }
        world.settle();
        let state = world.state::<Boxes>("a").unwrap();
        let (number, at) = *state.got.first().unwrap();
        assert_eq!((number, state.got.len()), (5_000, 1));
        assert!(at >= due);
        late.set(late.get() + u32::from(at > due + 1_000));
    });
    assert!(late.get() > 10, "{}", late.get());
}

#[test]
fn a_set_timer_is_replaced_by_another_of_its_name() {
    together().with::<Boxes>().check(50, |world| {
        world.send_to::<Boxes>("a", "open", &());
        world.send_to::<Boxes>("a", "alarm", &3_600_000);
        world.send_to::<Boxes>("a", "alarm", &3_600_001);
        world.settle();
        let last = numbers(world, "a");
        assert_eq!(last.last(), Some(&3_600_001));
    });
}

#[test]
fn a_timer_that_is_moved_while_it_waits_behind_an_event_fires_at_its_new_time() {
    // Seed 0, in which nothing else happens meanwhile.
    together().with::<Boxes>().check(1, |world| {
        world.send_to::<Boxes>("a", "open", &());
        world.send_to::<Boxes>("a", "alarm", &5_000);
        world.send_to::<Boxes>("a", "close", &());
        send(world, "a", 1);
        world.advance(Duration::from_secs(6));
        assert_eq!(numbers(world, "a"), [0; 0]);
        let due: u64 = world.send_to::<Boxes>("a", "alarm", &3_600_000).reply();
        world.send_to::<Boxes>("a", "open", &());
        world.settle();
        assert_eq!(numbers(world, "a"), [1, 3_600_000]);
        let (_, at) = *world.state::<Boxes>("a").unwrap().got.last().unwrap();
        assert!(at >= due, "{at} is before {due}");
    });
}

#[test]
fn a_timer_that_never_ends_is_reported_and_can_be_advanced() {
    let tick = |world: &mut World| {
        world.send_to::<Boxes>("a", "open", &());
        world.send_to::<Boxes>("a", "tick", &());
    };
    together().with::<Boxes>().check(20, |world| {
        tick(world);
        world.advance(Duration::from_secs(60));
    });
    let report = failure(|| {
        together().with::<Boxes>().check(1, |world| {
            tick(world);
            world.settle();
        });
    });
    assert!(report.contains("use advance"), "{report}");
}

#[test]
fn answers_tell_what_became_of_a_command() {
    together().with::<Boxes>().check(20, |world| {
        let opened = world.send_to::<Boxes>("a", "open", &());
        assert!(opened.is_done() && opened.key() == "a" && opened.problem().is_none());
        assert!(world.send_to::<Boxes>("a", "close", &()).is_done());
        let refused = world.send_to::<Boxes>("a", "close", &());
        assert!(refused.is_refused(CLOSED) && !refused.is_done());
        let missing = world.send_to::<Boxes>("b", "close", &());
        assert!(missing.is_refused(saga_sdk::NOT_FOUND), "{missing:?}");
        let malformed = world.send_to::<Boxes>("a", "alarm", "soon");
        assert!(malformed.is_malformed() && !malformed.is_done());
        let problem = malformed.problem().unwrap();
        assert!(problem.contains("is not of type \"integer\""), "{problem}");
    });
}

#[test]
fn a_client_waits_while_a_participant_is_down() {
    let down = Cell::new(0);
    together().with::<Boxes>().check(300, |world| {
        for _ in 0..10 {
            let before = world.time();
            assert!(world.send_to::<Boxes>("a", "open", &()).is_done());
            down.set(down.get() + u32::from(world.time() > before + 1_000));
        }
    });
    assert!(down.get() > 10, "{}", down.get());
}

#[test]
fn whoever_was_down_gets_everything_even_if_only_the_others_move_the_clock() {
    let together = together().with::<Boxes>().with::<Copies>();
    together.check(300, |world| {
        world.send_to::<Boxes>("a", "open", &());
        for number in 20..60 {
            send(world, "a", number);
        }
        world.settle();
        let all: Vec<u32> = (20..60).collect();
        assert_eq!(numbers(world, "a"), all);
        assert_eq!(world.state::<Copies>("a"), Some(all));
    });
}

/// Somebody outside who opens boxes once there is a note for them.
#[derive(Default)]
struct Porter {
    opened: Vec<u64>,
}

#[test]
fn somebody_outside_acts_until_there_is_nothing_left_to_do() {
    let acted = RefCell::new(std::collections::BTreeSet::new());
    together()
        .with::<Boxes>()
        .outside(|porter: &mut Porter, world| {
            let has_one = world.events(SENT).len() > porter.opened.len();
            if has_one {
                assert!(world.send_to::<Boxes>("a", "open", &()).is_done());
                porter.opened.push(world.time());
            }
            has_one
        })
        .check(100, |world| {
            send(world, "a", 1);
            send(world, "a", 2);
            world.settle();
            assert_eq!(numbers(world, "a"), [1, 2]);
            let porter = world.outside::<Porter>();
            assert_eq!(porter.opened.len(), 2);
            acted.borrow_mut().insert(porter.opened.clone());
        });
    assert!(
        acted.borrow().len() > 20,
        "it acts at other times under other seeds"
    );
}
