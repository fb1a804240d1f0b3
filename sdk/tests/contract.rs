//! The work of the SDK beside calling handlers: the description, its mistakes, migrations, and the
//! answers it gives on an author's behalf.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use saga_sdk::native::{CommandKind, Disposition, KeySource, Message, Origin, Rules};
use saga_sdk::testing::{Limits, contract_problems, given, given_nothing, migrated};
use saga_sdk::{
    ALREADY_EXISTS, Caller, Command, Contract, Decision, EventType, Listing, Method, NOT_FOUND,
    Participant, Refusal, RefusalType, Subscription, Timer, Turn, Undecided,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Tally {
    total: Number,
    unit: String,
}

#[derive(Serialize, Deserialize)]
struct TallyV1 {
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct TallyV2 {
    total: Number,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Add {
    tally: String,
    amount: Number,
}

const ADDED: EventType<Add> = EventType::new("added", "tallies");
const ADD: EventType<Add> = EventType::new("add", "requests");
const ADD_TOO: EventType<Add> = EventType::new("add", "other-requests");
const REMIND: Timer<String> = Timer::new("remind");
const UNDECLARED: EventType<u8> = EventType::new("undeclared", "tallies");
const UNDECLARED_REFUSAL: RefusalType = RefusalType::conflict("undeclared", "It is not.");
const UNDECLARED_TIMER: Timer<u8> = Timer::new("undeclared-timer");

struct Tallies;

impl Participant for Tallies {
    type State = Tally;
    type Key = String;

    fn contract() -> Contract<Tally> {
        Contract::new("tallies", "1.2.3", "Keeps tallies.")
            .endpoint("/tallies", 9000)
            .state_version(3)
            .migrate(1, |old: TallyV1| TallyV2 {
                total: old.count.into(),
            })
            .migrate(2, |old: TallyV2| tally(&old.total.to_string()))
            .command(
                Command::create("open", Method::Put, "/", open)
                    .summary("Opens a tally.")
                    .key_in_body("/tally"),
            )
            .command(
                Command::change("misuse", Method::Post, "/{tally}/misuse/{what}", misuse)
                    .summary("Breaks the contract.")
                    .key_parameter("tally"),
            )
            .command(
                Command::upsert("set", Method::Put, "/{tally}", set)
                    .summary("Sets a tally, there or not."),
            )
            .command(
                Command::read("get", "/{tally}", |tally: &Tally, _: &Turn| tally.clone())
                    .summary("Tells a tally.")
                    .pending_while(|tally: &Tally| tally.unit == "undecided"),
            )
            .listing(
                Listing::of("list", "/all", "get")
                    .summary("Lists the tallies.")
                    .filter("unit", "/unit")
                    .filter_as::<u32>("total", "/total"),
            )
            .on(Subscription::to(ADD, "tallies", "/tally", add))
            .publishes(ADDED)
            .timer(REMIND, |tally: Tally, unit: String, _: &Turn| {
                Decision::put(Tally { unit, ..tally })
            })
    }
}

fn tally(total: &str) -> Tally {
    Tally {
        total: total.parse().unwrap(),
        unit: "pcs".to_owned(),
    }
}

fn open(request: Add, _: &Turn) -> Decision<Tally, ()> {
    Decision::put(tally(&request.amount.to_string())).reply(())
}

fn misuse(state: Tally, (): (), turn: &Turn) -> Result<Decision<Tally, ()>, Refusal> {
    match turn.parameter("what") {
        Some("event") => Ok(Decision::put(state).publish(UNDECLARED, 1, &1).reply(())),
        Some("timer") => Ok(Decision::put(state)
            .set_timer(UNDECLARED_TIMER, 1, &1)
            .reply(())),
        Some("key") => Ok(Decision::put(state)
            .publish(ADDED, "", &request("1"))
            .reply(())),
        _ => Err(Refusal::new(UNDECLARED_REFUSAL, "It is not declared.")),
    }
}

fn set(present: Option<Tally>, total: Number, _: &Turn) -> Decision<Tally, bool> {
    let unit = "pcs".to_owned();
    Decision::put(Tally { total, unit }).reply(present.is_some())
}

fn add(present: Option<Tally>, add: Add, _: &Turn) -> Result<Decision<Tally>, Undecided> {
    let present = present.ok_or_else(|| Undecided::retry_later("the tally is not open yet"))?;
    let key = add.tally.clone();
    Ok(Decision::put(Tally {
        total: add.amount.clone(),
        ..present
    })
    .publish(ADDED, key, &add))
}

fn request(amount: &str) -> Add {
    Add {
        tally: "t".to_owned(),
        amount: amount.parse().unwrap(),
    }
}

#[test]
fn the_description_says_what_the_author_said() {
    assert_eq!(contract_problems::<Tallies>(), Vec::<String>::new());
    let description = Rules::<Tallies>::new().describe();
    assert_eq!(description.name, "tallies");
    assert_eq!(description.endpoint.base_path, "/tallies");
    assert_eq!(description.state.version, 3);
    assert_eq!(description.state.oldest_readable, 1);
    let command = |name: &str| description.commands.iter().find(|one| one.name == name);
    let open = command("open").expect("open");
    assert_eq!(open.key, KeySource::Body("/tally".to_owned()));
    assert_eq!(open.refusals.first().unwrap().code, ALREADY_EXISTS.code());
    assert!(open.request.as_deref().unwrap().contains("\"amount\""));
    let misuse = command("misuse").expect("misuse");
    assert_eq!(misuse.request, None);
    assert_eq!(misuse.key, KeySource::PathParameter("tally".to_owned()));
    let get = command("get").expect("get");
    assert_eq!((&get.kind, get.method), (&CommandKind::Read, Method::Get));
    assert_eq!(description.timers.first().unwrap().name, "remind");
    let listing = description.listings.first().unwrap();
    assert_eq!(
        (&*listing.name, &*listing.path, &*listing.item),
        ("list", "/all", "get")
    );
    let filters = listing.filters.iter();
    let filters: Vec<_> = filters
        .map(|filter| (&*filter.parameter, &*filter.pointer, &*filter.schema))
        .collect();
    let whole = r#"{"title":"uint32","type":"integer","format":"uint32","minimum":0}"#;
    let expected = [
        ("unit", "/unit", r#"{"type":"string"}"#),
        ("total", "/total", whole),
    ];
    assert_eq!(filters, expected);
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Grown {
    total: u32,
    #[serde(default)]
    note: String,
}

struct Growing;

impl Participant for Growing {
    type State = Grown;
    type Key = String;

    fn contract() -> Contract<Grown> {
        let late: Timer<Grown> = Timer::new("late");
        Contract::new("growing", "1.0.0", "Has got a member with a default.")
            .timer(late, |_, _, _: &Turn| Decision::<Grown>::unchanged())
            .publishes::<Grown>(EventType::new("grown", "growth"))
    }
}

#[test]
fn states_and_timers_are_described_as_they_are_read_and_events_as_they_are_written() {
    let description = Rules::<Growing>::new().describe();
    let required = |schema: &str| {
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        schema.get("required").cloned().unwrap()
    };
    // One that was stored before the member was added can be read.
    let read = serde_json::json!(["total"]);
    assert_eq!(required(&description.state.schema), read);
    assert_eq!(required(&description.timers.first().unwrap().schema), read);
    let written = serde_json::json!(["total", "note"]);
    assert_eq!(
        required(&description.publications.first().unwrap().schema),
        written
    );
}

#[test]
fn the_sdk_answers_for_aggregates_that_are_there_or_not() {
    given_nothing::<Tallies>()
        .when_command("get", &())
        .refused(NOT_FOUND);
    given_nothing::<Tallies>()
        .when_timer(REMIND, &"kg".to_owned())
        .unchanged();
    given::<Tallies>(tally("1"))
        .when_command("open", &request("2"))
        .refused(ALREADY_EXISTS);
    given_nothing::<Tallies>()
        .when_command("set", &5)
        .replied(&false)
        .and_then()
        .when_command("set", &6)
        .state(&tally("6"))
        .replied(&true);
}

#[test]
fn a_read_is_pending_for_as_long_as_the_author_says() {
    let undecided = Tally {
        unit: "undecided".to_owned(),
        ..tally("1")
    };
    given::<Tallies>(undecided.clone())
        .when_command("get", &())
        .unchanged()
        .replied_pending(&undecided);
    given::<Tallies>(tally("1"))
        .when_command("get", &())
        .replied(&tally("1"));
    given_nothing::<Tallies>()
        .when_command("get", &())
        .refused(NOT_FOUND);
}

struct Numbered;

impl Participant for Numbered {
    type State = u32;
    type Key = u64;

    fn contract() -> Contract<u32, u64> {
        let read = |_: &u32, turn: &Turn<u64>| *turn.key();
        Contract::new("numbered", "1.0.0", "Takes all keys for numbers.")
            .command(Command::read("get", "/{number}", read).summary("Tells the number."))
    }
}

#[test]
fn a_key_of_another_type_is_malformed_and_one_that_nothing_has_is_not_found() {
    given::<Numbered>(1)
        .key("18446744073709551615")
        .when_command("get", &())
        .replied(&u64::MAX);
    given::<Numbered>(1)
        .key("a-7")
        .when_command("get", &())
        .malformed("the key \"a-7\" is no u64: invalid digit found in string");
    given_nothing::<Numbered>()
        .key("a-7")
        .when_command("get", &())
        .refused(NOT_FOUND);
}

#[test]
fn numbers_go_through_with_every_digit() {
    let amount = "12345678901234567890123.4500";
    given::<Tallies>(tally("0.10"))
        .when_command("get", &())
        .replied(&tally("0.10"))
        .and_then()
        .when_event(ADD, &request(amount))
        .state(&tally(amount))
        .published(ADDED, "t", &request(amount));
}

#[test]
fn undecided_can_be_an_error_in_a_rule() {
    given_nothing::<Tallies>()
        .when_event(ADD, &request("1"))
        .retried_later("not open yet");
}

#[test]
fn states_of_every_older_version_are_brought_up() {
    assert_eq!(migrated::<Tallies>(1, r#"{"count":7}"#).total, 7.into());
    let two = migrated::<Tallies>(2, r#"{"total":7.50}"#);
    assert_eq!(two.total.to_string(), "7.50");
    assert_eq!(two.unit, "pcs");
    let rules = Rules::<Tallies>::new();
    let failed = |version, state: &str| match rules.migrate(version, state.to_owned()) {
        Err(Disposition::Malformed(why)) => why,
        other => panic!("expected malformed, got {other:?}"),
    };
    assert!(failed(0, "{}").contains("no migration reads a state of version 0"));
    assert!(failed(1, r#"{"count":-7}"#).contains("in /count"));
}

#[test]
fn a_state_of_the_present_version_is_decoded_and_encoded_again() {
    let present = migrated::<Tallies>(3, r#"{"unit":"pcs","total":7.50,"unknown":1}"#);
    assert_eq!(present.total.to_string(), "7.50");
    let rules = Rules::<Tallies>::new();
    let text = rules.migrate(3, r#"{"unit":"pcs","total":7.50,"unknown":1}"#.to_owned());
    assert_eq!(text.unwrap(), r#"{"total":7.50,"unit":"pcs"}"#);
    let failed = |version, state: &str| match rules.migrate(version, state.to_owned()) {
        Err(Disposition::Malformed(why)) => why,
        other => panic!("expected malformed, got {other:?}"),
    };
    let renamed = failed(3, r#"{"sum":7,"unit":"pcs"}"#);
    assert!(
        renamed.contains("a state of version 3 can't be read: missing field `total`"),
        "{renamed}"
    );
    assert!(failed(3, r#"{"total":"x","unit":1}"#).contains("in /"));
    assert!(failed(4, "{}").contains("newer than these rules, which know version 3"));
}

fn message(origin: Origin, name: &str) -> Message {
    Message {
        id: "1".to_owned(),
        source: "/test".to_owned(),
        origin,
        name: name.to_owned(),
        key: "t".to_owned(),
        time: 0,
        correlation: "1".to_owned(),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: "null".to_owned(),
    }
}

#[test]
fn a_message_that_the_contract_does_not_name_is_malformed() {
    let rules = Rules::<Tallies>::new();
    for (origin, name) in [
        (Origin::Command, "add"),
        (Origin::Event, "get"),
        (Origin::Timer, "get"),
    ] {
        let verdict = rules.handle(None, message(origin, name), "{}".to_owned());
        assert!(
            matches!(&verdict, Err(Disposition::Malformed(why)) if why.contains(name)),
            "{verdict:?}"
        );
    }
}

#[test]
#[should_panic(expected = "the stored state can't be read by these rules: missing field `unit`")]
fn a_stored_state_of_another_shape_is_a_fault() {
    let state = Some(r#"{"total":1}"#.to_owned());
    let _ = Rules::<Tallies>::new().handle(state, message(Origin::Command, "get"), "{}".to_owned());
}

#[test]
#[should_panic(expected = "add .publishes(…)")]
fn the_kit_finds_an_undeclared_event() {
    given::<Tallies>(tally("1"))
        .parameter("what", "event")
        .when_command("misuse", &());
}

#[test]
#[should_panic(expected = "add .timer(…)")]
fn the_kit_finds_an_undeclared_timer() {
    given::<Tallies>(tally("1"))
        .parameter("what", "timer")
        .when_command("misuse", &());
}

#[test]
#[should_panic(expected = "add .refuses(…)")]
fn the_kit_finds_an_undeclared_refusal() {
    given::<Tallies>(tally("1"))
        .parameter("what", "refusal")
        .when_command("misuse", &());
}

#[test]
#[should_panic(expected = "has an empty key")]
fn the_kit_finds_an_event_without_a_key() {
    given::<Tallies>(tally("1"))
        .parameter("what", "key")
        .when_command("misuse", &());
}

/// A number that is at most ten, as its schema says and no type does.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Ten(#[schemars(range(max = 10))] u64);

const TEN_SEEN: EventType<Ten> = EventType::new("ten-seen", "tens");
const TEN_DUE: Timer<Ten> = Timer::new("ten-due");

struct Tens;

impl Participant for Tens {
    type State = Ten;
    type Key = u64;

    fn contract() -> Contract<Ten, u64> {
        let eleven = |ten: Ten, what: String, turn: &Turn<u64>| -> Decision<Ten, Ten> {
            let eleven = Ten(11);
            match what.as_str() {
                "state" => Decision::put(eleven).reply(ten),
                "event" => Decision::unchanged()
                    .publish(TEN_SEEN, 1, &eleven)
                    .reply(ten),
                "timer" => Decision::unchanged()
                    .set_timer(TEN_DUE, turn.time(), &eleven)
                    .reply(ten),
                "time" => Decision::unchanged()
                    .set_timer(TEN_DUE, u64::MAX, &ten)
                    .reply(ten),
                "pending" => Decision::unchanged().pending(eleven),
                "nothing" => Decision::unchanged().reply(ten),
                _ => Decision::unchanged().reply(eleven),
            }
        };
        Contract::new("tens", "1.0.0", "Counts to ten.")
            .endpoint("/tens", 9000)
            .command(
                Command::change("exceed", Method::Post, "/{ten}/excess", eleven)
                    .summary("Puts out eleven.")
                    .requires("tens:exceed"),
            )
            .command(
                Command::read("get", "/{ten}", |_: &Ten, _: &Turn<u64>| Ten(11))
                    .summary("Tells eleven."),
            )
            .publishes(TEN_SEEN)
            .timer(TEN_DUE, |_: Ten, ten: Ten, _: &Turn<u64>| {
                Decision::put(ten)
            })
    }
}

#[test]
fn the_kit_finds_what_a_host_refuses_as_bad_output() {
    let exceeds = |what: &str| {
        failure(|| drop(given::<Tens>(Ten(1)).when_command("exceed", what))).unwrap_or_default()
    };
    let too_large = "does not match its schema: 11 is greater than the maximum of 10";
    for (what, output) in [
        ("state", "state"),
        ("event", "event `ten-seen`"),
        ("timer", "timer `ten-due`"),
        ("reply", "reply to command `exceed`"),
        ("pending", "reply to command `exceed`"),
    ] {
        let failure = exceeds(what);
        let expected = format!("the outcome breaks the contract:\n{output} {too_large}");
        assert!(failure.contains(&expected), "{what}: {failure}");
    }
    assert!(exceeds("time").contains("\"ten-due\" is due at 18446744073709551615"));
    assert_eq!(exceeds("nothing"), "");
    let read = failure(|| drop(given::<Tens>(Ten(1)).when_command("get", &()))).unwrap_or_default();
    assert!(
        read.contains("reply to command `get` does not match"),
        "{read}"
    );
    let due = || drop(given::<Tens>(Ten(1)).when_timer(TEN_DUE, &Ten(11)));
    assert!(
        failure(due)
            .unwrap_or_default()
            .contains("state does not match its schema")
    );
}

#[test]
fn a_scenario_fails_if_a_host_would_not_let_the_caller() {
    let sends = |caller: Caller| {
        let exceeds = || {
            given::<Tens>(Ten(1))
                .caller(caller)
                .when_command("exceed", "nothing")
        };
        failure(|| drop(exceeds()))
    };
    assert_eq!(sends(Caller::new("ann")), None);
    assert_eq!(
        sends(Caller::new("ann").with_permissions(&["a", "tens:exceed"])),
        None
    );
    let lacks = sends(Caller::new("ann").with_permissions(&["tens:read"]));
    assert!(
        (lacks.as_deref())
            .is_some_and(|why| why.contains("the caller lacks the permission tens:exceed")),
        "{lacks:?}"
    );
}

#[test]
#[should_panic(expected = "the state differs")]
fn the_kit_finds_a_state_that_differs_in_one_digit() {
    given_nothing::<Tallies>()
        .when_command("open", &request("1.0"))
        .state(&tally("1.00"));
}

struct Muddled;

impl Participant for Muddled {
    type State = Tally;
    type Key = String;

    fn contract() -> Contract<Tally> {
        let read = |name: &str, path: &str| {
            Command::read(name, path, |tally: &Tally, _: &Turn| tally.clone())
        };
        Contract::new("Muddled", "1.0.0", "Is full of mistakes.")
            .endpoint("/muddled/", 0)
            .state_version(3)
            .migrate(1, |old: TallyV1| TallyV2 {
                total: old.count.into(),
            })
            .command(read("get", "/{tally}").summary("Reads."))
            .command(read("get", "/{tally}").summary("Reads."))
            .command(read("bare", "/bare"))
            .command(
                read("other", "/other/{tally}")
                    .summary("Reads.")
                    .key_parameter("key"),
            )
            .command(read("torn", "/torn/{tally").summary("Reads."))
            .command(
                Command::upsert("put", Method::Put, "/put/{tally}", set)
                    .summary("Sets.")
                    .pending_while(|_| true),
            )
            .listing(Listing::of("get", "/bare", "torn"))
            .listing(
                Listing::of("all", "/{all}", "none")
                    .filter("limit", "/unit")
                    .filter("unit", "/unit")
                    .filter("unit", "/total/digits"),
            )
            .on(Subscription::to(ADD, "one", "tally", add).untyped())
            .on(Subscription::to(ADD, "two", "/tally", add).untyped())
            .on(Subscription::to(ADD_TOO, "two", "/taly", add))
            .publishes(ADDED)
            .publishes(ADDED)
    }
}

#[test]
fn mistakes_in_a_contract_are_listed_all_at_once() {
    let problems = contract_problems::<Muddled>();
    for expected in [
        "name: `Muddled` is not a name: use 1 to 64 lower-case letters",
        "endpoint: base path `/muddled/`: must be empty or look like `/a/b`",
        "command get: is listed twice",
        "command get: GET /{tally} is served by another command too",
        "command bare: has no summary",
        "command bare: has no key: take one parameter of the path `/bare`, or a value in the body",
        "command other: key parameter `key` is not in the path `/other/{tally}`",
        "command torn: path `/torn/{tally`: a segment has at most one parameter, with a name",
        "command put: is no read, so pending_while means nothing",
        "subscription add: key `tally` is not a JSON pointer such as `/order/id`",
        "subscription add: key `/taly` leads nowhere: the schema names no `taly` there, but `tally`, `amount`",
        "subscription add: topic requests is read by two groups, one and two: one group per topic",
        "subscription add: is listed twice for topic requests",
        "subscription add: topic requests has two events for untyped records",
        "subscription add: another one takes this event from another topic",
        "publication added: is listed twice",
        "listing get: has no summary",
        "listing get: another listing or a command has this name too",
        "listing get: GET /bare is served otherwise too",
        "listing get: item: command `torn` must be a read without a body, whose path has one parameter, the key",
        "listing all: path `/{all}` must look like `/a/b`, without parameters",
        "listing all: item: there is no command `none`",
        "listing all filter limit: the listing has a parameter of this name already",
        "listing all filter unit: the listing has a parameter of this name already",
        "listing all filter unit: `/total/digits` into the state leads nowhere: `/total` is a number",
        "migration of state version 1: gives contract::TallyV2, but the next one reads contract::Tally",
        "migration of state version 1: is followed by version 3",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not in {problems:#?}"
        );
    }
}

#[test]
#[should_panic(expected = "the contract has mistakes")]
fn no_scenario_runs_on_a_contract_with_mistakes() {
    let _ = given_nothing::<Muddled>();
}

/// Publishes and sets as much as the body says.
struct Lavish;

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Wanted {
    events: usize,
    event_bytes: usize,
    key_bytes: usize,
    timers: usize,
    state_bytes: usize,
    reply_bytes: usize,
}

const SAID: EventType<String> = EventType::new("said", "lavish");
const WANTED: EventType<Wanted> = EventType::new("wanted", "wishes");

fn give(_: Option<String>, wanted: Wanted, _: &Turn) -> Decision<String, String> {
    let text = |bytes: usize| "x".repeat(bytes.saturating_sub(2));
    let mut decision = Decision::put(text(wanted.state_bytes));
    for _ in 0..wanted.events {
        let key = "k".repeat(wanted.key_bytes.max(1));
        decision = decision.publish(SAID, key, &text(wanted.event_bytes));
    }
    for _ in 0..wanted.timers {
        decision = decision.cancel_timer(REMIND);
    }
    decision.reply(text(wanted.reply_bytes))
}

impl Participant for Lavish {
    type State = String;
    type Key = String;

    fn contract() -> Contract<String> {
        Contract::new("lavish", "1.0.0", "Gives what is wanted.")
            .command(Command::upsert("give", Method::Post, "/{who}", give).summary("Gives."))
            .on(Subscription::to(
                WANTED,
                "lavish",
                "/events",
                |_: Option<String>, _, _: &Turn| Decision::unchanged(),
            ))
            .publishes(SAID)
            .timer(REMIND, |_: String, _, _: &Turn| Decision::unchanged())
    }
}

/// What a scenario fails with, in which this much is wanted; none where it does not fail.
fn beyond(wanted: &Wanted, limits: Option<Limits>) -> Option<String> {
    let scenario = given_nothing::<Lavish>();
    let scenario = match limits {
        Some(limits) => scenario.limits(limits),
        None => scenario,
    };
    failure(|| drop(scenario.when_command("give", wanted)))
}

fn failure(test: impl FnOnce()) -> Option<String> {
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).err()?;
    Some(*failed.downcast::<String>().unwrap())
}

#[test]
fn a_scenario_fails_where_the_default_limits_of_a_host_would() {
    type Set = fn(&mut Wanted, usize);
    let limits: [(&str, usize, Set); 6] = [
        ("turn.events", 64, |wanted, n| wanted.events = n),
        ("turn.timers", 16, |wanted, n| wanted.timers = n),
        ("turn.state_bytes", 256 << 10, |wanted, n| {
            wanted.state_bytes = n
        }),
        ("turn.reply_bytes", 1 << 20, |wanted, n| {
            wanted.reply_bytes = n
        }),
        ("turn.event_bytes", 512 << 10, |wanted, n| {
            (wanted.events, wanted.event_bytes) = (1, n);
        }),
        ("turn.key_bytes", 512, |wanted, n| {
            (wanted.events, wanted.key_bytes) = (1, n)
        }),
    ];
    for (setting, limit, set) in limits {
        let of = |number| {
            let mut wanted = Wanted::default();
            set(&mut wanted, number);
            wanted
        };
        assert_eq!(beyond(&of(limit), None), None, "{setting}");
        let said = beyond(&of(limit + 1), None).unwrap();
        assert!(said.contains("nothing of it would take effect"), "{said}");
        assert!(said.contains(&(limit + 1).to_string()), "{said}");
        assert!(
            said.contains(&format!(
                "takes {limit} unless its operator raises `{setting}`"
            )),
            "{said}"
        );
        let raised = Limits::default().with(setting, limit + 1);
        assert_eq!(beyond(&of(limit + 1), Some(raised)), None, "{setting}");
    }
}

#[test]
fn a_scenario_fails_where_a_host_would_not_offer_its_message() {
    let spaces = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    let command = |key: &str, body: &str| {
        failure(|| {
            drop(
                given_nothing::<Lavish>()
                    .key(key)
                    .when_command_json("give", body),
            )
        })
    };
    assert_eq!(command(&"k".repeat(512), &spaces(1 << 20)), None);
    assert!(
        command(&"k".repeat(513), "{}")
            .unwrap()
            .contains("`turn.key_bytes`")
    );
    assert!(
        command("k", &spaces((1 << 20) + 1))
            .unwrap()
            .contains("`http.body_bytes`")
    );
    let event =
        |body: &str| failure(|| drop(given_nothing::<Lavish>().when_event_json(WANTED, body)));
    assert_eq!(event(&spaces(1 << 20)), None);
    assert!(
        event(&spaces((1 << 20) + 1))
            .unwrap()
            .contains("`turn.record_bytes`")
    );
    let timer = |bytes: usize| {
        failure(|| drop(given_nothing::<Lavish>().when_timer(REMIND, &"x".repeat(bytes - 2))))
    };
    assert_eq!(timer(512 << 10), None);
    assert!(
        timer((512 << 10) + 1)
            .unwrap()
            .contains("`turn.event_bytes`")
    );
    let state = |bytes: usize| {
        let scenario = given::<Lavish>("x".repeat(bytes - 2));
        failure(|| drop(scenario.when_timer(REMIND, &String::new())))
    };
    assert_eq!(state(256 << 10), None);
    assert!(state((256 << 10) + 1).unwrap().contains("the given state"));
}

/// The body of `grown` in its three versions, of which the oldest has its key elsewhere.
mod grown {
    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(crate) struct V1 {
        pub(crate) plant: String,
        pub(crate) inches: u32,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(crate) struct V2 {
        pub(crate) id: String,
        pub(crate) inches: u32,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(crate) struct V3 {
        pub(crate) id: String,
        pub(crate) millimetres: u32,
    }

    pub(crate) const V1: EventType<V1> = EventType::new("grown", "garden");
    pub(crate) const V2: EventType<V2> = EventType::new("grown", "garden").version(2);
    pub(crate) const V3: EventType<V3> = EventType::new("grown", "garden").version(3);
}

struct Garden;

impl Participant for Garden {
    type State = u32;
    type Key = String;

    fn contract() -> Contract<u32> {
        let grow = |_: Option<u32>, grown: grown::V3, _: &Turn| Decision::put(grown.millimetres);
        let metre = |old: grown::V2| grown::V3 {
            id: old.id,
            millimetres: old.inches * 254 / 10,
        };
        let rename = |old: grown::V1| grown::V2 {
            id: old.plant,
            inches: old.inches,
        };
        Contract::new("garden", "1.0.0", "Measures plants.")
            .on(Subscription::to(grown::V3, "garden", "/id", grow)
                .upcast(1, rename)
                .with_key_at("/plant")
                .upcast(2, metre))
            .publishes(grown::V3)
    }
}

#[test]
fn events_of_older_versions_are_brought_up_to_the_present_one() {
    let old = grown::V1 {
        plant: "rose".into(),
        inches: 10,
    };
    given_nothing::<Garden>()
        .when_event(grown::V1, &old)
        .state(&254);
    let middle = grown::V2 {
        id: "rose".into(),
        inches: 100,
    };
    given_nothing::<Garden>()
        .when_event(grown::V2, &middle)
        .state(&2540);
    given_nothing::<Garden>()
        .when_event_json(grown::V1, r#"{"plant":"rose","inches":-1}"#)
        .malformed("the event grown of version 1 can't be read");
}

#[test]
fn versions_of_events_are_in_the_description() {
    let description = Rules::<Garden>::new().describe();
    assert_eq!(description.publications[0].version, 3);
    let subscription = &description.subscriptions[0];
    let older = subscription.older.iter();
    let older: Vec<_> = older.map(|one| (one.version, &*one.key)).collect();
    assert_eq!(
        (subscription.version, older),
        (3, vec![(1, "/plant"), (2, "/id")])
    );
    assert!(subscription.older[0].schema.contains("inches"));
}

struct Gap;

impl Participant for Gap {
    type State = u32;
    type Key = String;

    fn contract() -> Contract<u32> {
        let grow = |_: Option<u32>, grown: grown::V3, _: &Turn| Decision::put(grown.millimetres);
        Contract::new("gap", "1.0.0", "Reads version 1 and 3, but not 2.").on(Subscription::to(
            grown::V3,
            "garden",
            "/id",
            grow,
        )
        .upcast(1, |old: grown::V1| grown::V2 {
            id: old.plant,
            inches: old.inches,
        })
        .with_key_at("/plant"))
    }
}

#[test]
fn a_chain_of_versions_with_a_gap_is_a_mistake() {
    let problems = contract_problems::<Gap>();
    let names = |part: &str| problems.iter().any(|one| one.contains(part));
    assert!(names("migration of grown version 1: gives"), "{problems:?}");
    assert!(names("versions must follow each other"), "{problems:?}");
}

struct TwoTopics;

impl Participant for TwoTopics {
    type State = u32;
    type Key = String;

    fn contract() -> Contract<u32> {
        let grow = |_: Option<u32>, grown: grown::V3, _: &Turn| Decision::put(grown.millimetres);
        let greenhouse = EventType::<grown::V3>::new("grown", "greenhouse").version(3);
        Contract::new("two-topics", "1.0.0", "Reads an event from two topics.")
            .on(Subscription::to(grown::V3, "two-topics", "/id", grow))
            .on(Subscription::to(greenhouse, "two-topics", "/id", grow))
    }
}

#[test]
fn an_event_from_two_topics_is_a_mistake_since_only_one_handler_is_asked() {
    let problems = contract_problems::<TwoTopics>();
    let found = problems
        .iter()
        .filter(|one| one.contains("its handler is asked for both"));
    assert_eq!(found.count(), 1, "{problems:?}");
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Team {
    team: String,
}

struct Door;

impl Participant for Door {
    type State = String;
    type Key = String;

    fn contract() -> Contract<String> {
        let open = |_: Option<String>,
                    (): (),
                    turn: &Turn|
         -> Result<Decision<String, String>, Undecided> {
            let Some(caller) = turn.caller() else {
                return Ok(Decision::put("nobody".into()).reply("nobody".into()));
            };
            let Team { team } = caller.claims()?;
            let tenant = turn.metadata("x-tenant").unwrap_or("none");
            let who = format!("{} of {team} for {tenant}", caller.subject());
            Ok(Decision::put(who.clone()).reply(who))
        };
        Contract::new("door", "1.0.0", "Opens.")
            .metadata(&["x-tenant"])
            .claims(&["team"])
            .command(
                Command::upsert("open", Method::Post, "/doors/{door}", open)
                    .summary("Opens a door.")
                    .requires("doors:open"),
            )
    }
}

#[test]
fn rules_are_told_who_asks_and_the_headers_that_they_ask_for() {
    let team = Team {
        team: "blue".into(),
    };
    given_nothing::<Door>()
        .caller(Caller::new("ann").with_claims(&team))
        .metadata("x-tenant", "acme")
        .when_command("open", &())
        .replied("ann of blue for acme");
    given_nothing::<Door>()
        .caller(Caller::new("ann"))
        .when_command("open", &())
        .malformed("the caller's claims: missing field `team`");
    given_nothing::<Door>()
        .when_command("open", &())
        .replied("nobody");
    let description = Rules::<Door>::new().describe();
    assert_eq!(description.commands[0].requires, ["doors:open"]);
    assert_eq!(description.claims, ["team"]);
}

#[test]
#[should_panic(expected = "the contract does not ask for the header \"x-team\"")]
fn a_header_that_the_contract_does_not_ask_for_is_not_passed_on() {
    let _ = given_nothing::<Door>().metadata("x-team", "blue");
}
