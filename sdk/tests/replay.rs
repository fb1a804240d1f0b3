//! Recorded decisions, made again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use saga_sdk::testing::{Replayed, replay};
use saga_sdk::{
    Command, Contract, Decision, Declined, EventType, Method, Participant, Subscription, Turn,
};
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

/// Version 2 of the state, and of the event, counts in cents; version 1 counted euros.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Purse {
    cents: u64,
    last: String,
}

#[derive(Deserialize)]
struct PurseV1 {
    euros: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Given {
    purse: u64,
    cents: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct GivenV1 {
    purse: u64,
    euros: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Rate {
    factor: u64,
    bonus: u64,
}

#[derive(Deserialize)]
struct Claims {
    department: String,
}

const GIVEN: EventType<Given> = EventType::new("purse.given", "gifts").version(2);

struct Purses;

impl Participant for Purses {
    type State = Purse;
    type Key = u64;

    fn contract() -> Contract<Purse, u64> {
        Contract::new("purses", "2.0.0", "Keeps purses.")
            .state_version(2)
            .migrate(1, |old: PurseV1| Purse {
                cents: old.euros * 100,
                last: String::new(),
            })
            .settings(Rate {
                factor: 1,
                bonus: 5,
            })
            .metadata(&["x-tenant"])
            .claims(&["department"])
            .on(Subscription::to(
                GIVEN,
                "purses",
                "/purse",
                |purse: Option<Purse>, given: Given, turn: &Turn<u64>| {
                    let Rate { factor, bonus } = turn.settings();
                    let before = purse.map_or(0, |purse| purse.cents);
                    Decision::put(Purse {
                        cents: before + given.cents * factor + bonus,
                        last: turn.metadata("x-tenant").unwrap_or_default().to_owned(),
                    })
                },
            )
            .upcast(1, |old: GivenV1| Given {
                purse: old.purse,
                cents: old.euros * 100,
            }))
            .command(
                Command::change("name", Method::Post, "/purses/{purse}/name", name)
                    .summary("Names a purse."),
            )
    }
}

fn name(purse: Purse, (): (), turn: &Turn<u64>) -> Result<Decision<Purse, String>, Declined> {
    let caller = turn.caller().unwrap();
    let Claims { department } = caller.claims()?;
    let last = format!("{} of {department}", caller.subject());
    let decision = Decision::put(Purse {
        last: last.clone(),
        ..purse
    });
    Ok(decision.reply(last))
}

#[test]
fn settings_older_states_and_events_headers_and_callers_are_those_of_the_record() {
    let message = |origin: &str, name: &str, version: u32, body: Value| {
        json!({"id": "m", "source": "/s", "origin": origin, "name": name, "key": "1", "time": 5, "correlation": "c",
            "metadata": [["x-tenant", "north"]], "version": version, "body": body,
            "parameters": match origin { "command" => json!([["purse", "1"]]), _ => json!([]) }})
    };
    let of_event = json!({"seq": 1, "revision": 0, "generation": "old", "state": {"euros": 2},
        "message": message("event", "purse.given", 1, json!({"purse": 1, "euros": 3})),
        "outcome": {"state": {"put": {"cents": 1105, "last": "north"}}, "events": [], "timers": []}});
    let mut of_command = json!({"seq": 2, "revision": 1, "generation": "new", "state": {"cents": 7, "last": ""},
        "message": message("command", "name", 1, Value::Null),
        "outcome": {"state": {"put": {"cents": 7, "last": "ann of sales"}}, "events": [], "timers": [],
            "reply": {"done": "ann of sales"}}});
    of_command["message"]["caller"] = json!({"subject": "ann", "claims": {"department": "sales"}});
    let mut written = of_event.clone();
    // A state of the same version as the rules is not migrated.
    written["generation"] = json!("new");
    written["state"] = json!({"cents": 200, "last": ""});
    written["outcome"]["state"]["put"]["cents"] = json!(505);
    let mut as_before = of_event;
    // What the rules of that time left is compared as these read it.
    as_before["outcome"]["state"]["put"] = json!({"euros": 11});
    let first = json!({"format": "saga-cases", "format_version": 1, "participant": "purses", "redacted": [],
    "generations": [
        {"digest": "old", "version": "1.0.0", "state_version": 1, "settings": {"factor": 3, "bonus": 0}},
        {"digest": "new", "version": "2.0.0", "state_version": 2, "settings": {}},
    ]});
    let file = [
        first,
        as_before,
        written,
        of_command,
        json!({"decisions": 3}),
    ];
    let file: String = file.iter().map(|line| format!("{line}\n")).collect();
    let told = std::panic::catch_unwind(|| replay::<Purses>(&file).unchanged()).unwrap_err();
    assert_eq!(
        told.downcast_ref::<String>().unwrap(),
        "1 of 3 recorded decisions changed, and 0 were expected to\n\
         key \"1\", event \"purse.given\" (decision 1, message \"m\"):\n  \
         /state/put/last: recorded \"\", now \"north\""
    );
}
