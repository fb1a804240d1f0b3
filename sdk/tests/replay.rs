//! Recorded decisions, made again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use saga_sdk::testing::{Replayed, replay};
use saga_sdk::{Command, Contract, Decision, EventType, Method, Participant, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Account {
    balance: Number,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Paid {
    amount: Number,
}

const PAID: EventType<Paid> = EventType::new("bank.paid", "payments");

struct Bank;

impl Participant for Bank {
    type State = Account;
    type Key = u64;

    fn contract() -> Contract<Account, u64> {
        Contract::new("bank", "2.0.0", "Keeps accounts.")
            .command(
                Command::change(
                    "pay",
                    Method::Post,
                    "/accounts/{account}/payments",
                    |account: Account, paid: Paid, turn: &Turn<u64>| {
                        assert_ne!(account.balance.to_string(), "13", "not this account");
                        Decision::put(Account {
                            balance: paid.amount.clone(),
                        })
                        .publish(PAID, turn.key(), &paid)
                        .reply(())
                    },
                )
                .summary("Pays."),
            )
            .publishes(PAID)
    }
}

const LONG: &str = "12345678901234567890.0100";

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn paid(amount: &str) -> Value {
    let amount = number(amount);
    json!({
        "seq": 4, "revision": 2, "generation": "3f9c", "state": {"balance": number("1.50")},
        "message": {"id": "m1", "source": "/test", "origin": "command", "name": "pay", "key": "17", "time": 5,
            "correlation": "c1", "metadata": [], "version": 1, "parameters": [["account", "17"]],
            "body": {"amount": amount}},
        "outcome": {"state": {"put": {"balance": amount}}, "timers": [], "reply": {"done": null},
            "events": [{"type": "bank.paid", "key": "17", "body": {"amount": amount}}]},
    })
}

fn file(participant: &str, cases: &[Value]) -> String {
    let first = json!({"format": "saga-cases", "format_version": 1, "participant": participant, "redacted": [],
        "generations": [{"digest": "3f9c", "version": "1.0.0", "state_version": 1, "settings": {}}]});
    let last = json!({"decisions": cases.len()});
    let lines = [&first].into_iter().chain(cases).chain([&last]);
    lines.map(|line| format!("{line}\n")).collect()
}

fn replayed(cases: &[Value]) -> Replayed {
    replay::<Bank>(&file("bank", cases))
}

#[test]
fn the_same_decisions_are_unchanged_in_all_digits() {
    let replayed = replayed(&[paid(LONG), paid("1.0")]);
    assert_eq!(replayed.decisions(), 2);
    replayed.unchanged();
}

#[test]
fn a_changed_decision_is_told_with_its_places() {
    let mut other = paid(LONG);
    other["outcome"]["state"]["put"]["balance"] = number("12345678901234567890.02");
    other["outcome"]["events"][0]["key"] = json!("18");
    replayed(&[paid("1"), other.clone()]).changed(1);
    let told = std::panic::catch_unwind(|| replayed(&[paid("1"), other]).unchanged()).unwrap_err();
    assert_eq!(
        told.downcast_ref::<String>().unwrap(),
        "1 of 2 recorded decisions changed, and 0 were expected to\n\
         key \"17\", command \"pay\" (decision 4, message \"m1\"):\n  \
         /events/0/key: recorded \"18\", now \"17\"\n  \
         /state/put/balance: recorded 12345678901234567890.02, now 12345678901234567890.0100"
    );
}

#[test]
#[should_panic(expected = "1 of 1 recorded decisions changed, and 2 were expected to")]
fn fewer_changes_than_expected_are_a_failure() {
    let mut other = paid("1");
    other["outcome"]["reply"] = json!({"done": 5});
    replayed(&[other]).changed(2);
}

#[test]
#[should_panic(expected = "not this account")]
fn rules_that_panic_are_a_change() {
    let mut case = paid("1");
    case["state"]["balance"] = json!(13);
    replayed(&[case]).unchanged();
}

#[test]
#[should_panic(expected = "a state of version 7 can't be read")]
fn a_state_that_can_not_be_read_is_a_change() {
    let text = file("bank", &[paid("1")]).replace(r#""state_version":1"#, r#""state_version":7"#);
    replay::<Bank>(&text).unchanged();
}

#[test]
#[should_panic(expected = "now \"malformed: these rules know no command named \\\"lend\\\"\"")]
fn a_message_that_the_rules_do_not_take_is_a_change() {
    let mut case = paid("1");
    case["message"]["name"] = json!("lend");
    replayed(&[case]).unchanged();
}

#[test]
#[should_panic(
    expected = "the recorded decisions are of the participant \"shelf\", and these are the rules of \"bank\""
)]
fn the_decisions_of_another_participant_are_refused() {
    replay::<Bank>(&file("shelf", &[])).unchanged();
}

#[test]
#[should_panic(expected = "the recorded decisions can't be read: the file was cut off")]
fn a_file_that_was_cut_off_is_refused() {
    let text = file("bank", &[paid("1")]);
    let end = text.find("{\"decisions\"").unwrap();
    replay::<Bank>(text.get(..end).unwrap()).unchanged();
}
