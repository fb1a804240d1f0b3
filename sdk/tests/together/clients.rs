//! The requests of clients, and the settings of operators.

use saga_sdk::testing::Limits;
use saga_sdk::testing::together::together;
use saga_sdk::{
    ALREADY_EXISTS, Caller, Command, Contract, Decision, Method, Participant, TimeSpan, Timer, Turn,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure;

const REMINDER: Timer<()> = Timer::new("reminder");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Account {
    email: String,
    owner: Option<String>,
    tenant: Option<String>,
    sector: String,
    reminded_at: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Open {
    #[schemars(length(max = 40))]
    email: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Settings {
    remind_after: TimeSpan,
}

struct Accounts;

impl Participant for Accounts {
    type State = Account;
    type Key = String;

    fn contract() -> Contract<Account> {
        Contract::new("accounts", "1.0.0", "Keeps accounts by email.")
            .settings(Settings {
                remind_after: TimeSpan::from_secs(60),
            })
            .metadata(&["x-tenant"])
            .command(
                Command::create("open", Method::Post, "/sectors/{sector}/accounts", open)
                    .summary("Opens an account.")
                    .key_in_body("/email"),
            )
            .command(
                Command::change("close", Method::Delete, "/accounts/{email}", close)
                    .summary("Closes an account.")
                    .requires("accounts:close"),
            )
            .timer(REMINDER, |account: Account, (): (), turn: &Turn| {
                let reminded_at = Some(turn.time());
                Decision::put(Account {
                    reminded_at,
                    ..account
                })
            })
    }
}

fn open(request: Open, turn: &Turn) -> Decision<Account, ()> {
    let due = turn.time() + turn.settings::<Settings>().remind_after.as_millis();
    let account = Account {
        email: request.email,
        owner: turn.caller().map(|caller| caller.subject().to_owned()),
        tenant: turn.metadata("x-tenant").map(str::to_owned),
        sector: turn.parameter("sector").unwrap_or_default().to_owned(),
        reminded_at: None,
    };
    Decision::put(account)
        .set_timer(REMINDER, due, &())
        .reply(())
}

fn close(_: Account, (): (), _: &Turn) -> Decision<Account, ()> {
    Decision::remove().reply(())
}

#[test]
fn a_body_that_does_not_fit_its_schema_does_not_reach_the_rules() {
    together().with::<Accounts>().check(20, |world| {
        let mut open = |email: &serde_json::Value| {
            let call = world.command::<Accounts>("open");
            let body = serde_json::json!({"email": email});
            call.parameter("sector", "north").send(&body)
        };
        let long = format!("{}@example.org", "a".repeat(40));
        for (email, says) in [
            (long.into(), "/email: "),
            (7.into(), "/email: 7 is not of type \"string\""),
        ] {
            let answer = open(&email);
            assert!(answer.is_malformed() && !answer.is_done(), "{answer:?}");
            assert!(answer.problem().unwrap().contains(says), "{answer:?}");
        }
        assert!(open(&"ann@example.org".into()).is_done());
        assert_eq!(world.states::<Accounts>().len(), 1);
    });
}

#[test]
fn a_caller_without_a_required_permission_is_refused() {
    together().with::<Accounts>().check(20, |world| {
        let email = "ann@example.org".to_owned();
        let call = world.command::<Accounts>("open");
        let opened = call.parameter("sector", "north").send(&Open { email });
        let mut close = |caller: Caller| {
            let call = world.command::<Accounts>("close").key(opened.key());
            call.caller(caller).send(&())
        };
        let ann = || Caller::new("ann");
        let refused = close(ann().with_permissions(&["accounts:open"]));
        assert!(refused.is_forbidden() && !refused.is_done(), "{refused:?}");
        assert_eq!(
            refused.problem(),
            Some("the caller lacks the permission accounts:close")
        );
        assert!(close(ann().with_permissions(&["accounts:close"])).is_done());
        // Not known: not checked.
        let again = close(ann());
        assert!(again.is_refused(saga_sdk::NOT_FOUND), "{again:?}");
    });
}

#[test]
fn rules_get_the_key_in_the_body_the_parameters_the_caller_and_the_headers() {
    together().with::<Accounts>().check(20, |world| {
        let email = "ann@example.org".to_owned();
        let request = Open { email };
        let opened = (world.command::<Accounts>("open"))
            .parameter("sector", "north")
            .caller(Caller::new("ann"))
            .metadata("x-tenant", "t1")
            .send(&request);
        assert_eq!((opened.is_done(), opened.key()), (true, "ann@example.org"));
        let account = world.state::<Accounts>("ann@example.org").unwrap();
        assert_eq!(account.owner.as_deref(), Some("ann"));
        assert_eq!(account.tenant.as_deref(), Some("t1"));
        assert_eq!(account.sector, "north");
        let second = (world.command::<Accounts>("open"))
            .parameter("sector", "south")
            .send(&request);
        assert!(second.is_refused(ALREADY_EXISTS), "{second:?}");
    });
}

#[test]
fn the_settings_of_the_operator_and_other_limits_count() {
    let settings = Settings {
        remind_after: TimeSpan::from_secs(5),
    };
    let world = || {
        (together().with::<Accounts>())
            .settings::<Accounts>(&settings)
            .limits(Limits::default().with("turn.key_bytes", 20))
    };
    world().check(1, |world| {
        let email = "ann@example.org".to_owned();
        let opened = (world.command::<Accounts>("open"))
            .parameter("sector", "north")
            .send(&Open { email });
        let at = world.time();
        world.settle();
        let account = world.state::<Accounts>(opened.key()).unwrap();
        assert_eq!(account.reminded_at, Some(at + 5_000));
        let email = "somebody.else@example.org".to_owned();
        let refused = (world.command::<Accounts>("open"))
            .parameter("sector", "north")
            .send(&Open { email });
        assert!(
            refused.problem().unwrap().contains("25 bytes"),
            "{refused:?}"
        );
    });
}

#[test]
fn what_a_client_could_not_send_is_a_mistake_of_the_test() {
    let ask = |act: fn(&mut saga_sdk::testing::together::World)| {
        failure(|| together().with::<Accounts>().check(1, act))
    };
    let unknown = ask(|world| drop(world.send::<Accounts>("shut", &())));
    assert!(
        unknown.contains("accounts has no command \"shut\", only [\"open\", \"close\"]"),
        "{unknown}"
    );
    let parameter = ask(|world| {
        let email = "ann@example.org".to_owned();
        world.send::<Accounts>("open", &Open { email });
    });
    assert!(
        parameter.contains(".parameter(\"sector\", …)"),
        "{parameter}"
    );
    let header = ask(|world| {
        let email = "ann@example.org".to_owned();
        let call = world
            .command::<Accounts>("open")
            .parameter("sector", "north");
        call.metadata("x-other", "1").send(&Open { email });
    });
    assert!(
        header.contains("does not ask for the header \"x-other\""),
        "{header}"
    );
}

#[test]
fn a_participant_that_was_not_added_is_named() {
    let report = failure(|| {
        together().with::<Accounts>().check(1, |world| {
            world.send::<crate::library::Library<0>>("stock", &1);
        });
    });
    assert!(report.contains("is not in this world"), "{report}");
}
