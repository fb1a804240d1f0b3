//! Rules in TypeScript: the SDK and its builds, the traps of the language, projects of authors, and swaps with rules in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::commands::{asks, call, fails};
use crate::components::{decides_as_the_vectors_say, message, rules};
use crate::dev::{Dev, edit};
use crate::store_file::{publish, record, rows, until_consumed};
use crate::support::{Host, Start, saga};
use crate::{Test, orders, tests};

/// The longest first, so that none is left alone at the end.
const TESTS: &[Test] = tests![
    a_new_project_is_tested_served_and_follows_its_sources,
    rules_on_the_other_engine_decide_as_the_vectors_say,
    the_tests_of_the_sdk_and_of_the_order_rules_pass,
    rules_are_swapped_between_languages_and_replayed_in_the_other,
    what_rules_throw_is_told_with_message_file_and_line,
    values_of_the_turn_follow_from_the_message,
    no_digit_of_a_number_is_lost,
    recursion_of_2000_levels_is_decided_and_without_end_is_a_fault,
    what_a_module_keeps_between_turns_is_found,
    the_component_decides_as_the_vectors_say,
    the_same_sources_make_the_same_component_in_any_folder,
    builds_of_the_toolchain_alone_run_or_are_told_its_option,
];

/// The tests, or why they can't be run.
pub fn tests() -> Result<&'static [Test], String> {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    if !version("node") || !version("npm") {
        return Err("there is no Node.js with npm; install Node.js 20 or later".into());
    }
    if !sdk().join("node_modules/.package-lock.json").exists() {
        return Err("the packages of its SDK are not installed; run `make languages`".into());
    }
    Ok(TESTS)
}

fn sdk() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/typescript");
    folder.canonicalize().unwrap()
}

/// A command of this SDK in a folder.
fn saga_sdk(sdk: &Path, folder: &Path, words: &[&str]) -> (i32, String, String) {
    let program = sdk.join("bin/saga-sdk.mjs");
    call(
        Command::new("node")
            .arg(program)
            .args(words)
            .current_dir(folder),
    )
}

/// Builds a project into the folder of this test run; gives the component.
pub fn built(folder: &Path, name: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("typescript-{name}.wasm"));
    let (code, said, err) = saga_sdk(&sdk(), folder, &["build", "--out", out.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}{err}");
    out
}

/// The order rules.
fn order() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built(&sdk().join("examples/order"), "order"))
}

/// The rules that fall into traps.
fn traps() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built(&here().join("traps"), "traps"))
}

/// The folder of what these tests run.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages/typescript")
}

/// A host on the rules that fall into traps.
fn trapped(data: &Path) -> Start {
    let plugin = format!("traps={}", traps().display());
    Start::new(&[], data).arguments(&["--plugin", &plugin, "--listen", "traps=127.0.0.1:0"])
}

fn trap(host: &Host, key: &str, body: &Value) -> Value {
    let answer = host.post("traps", &format!("/traps/{key}"), body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

fn the_tests_of_the_sdk_and_of_the_order_rules_pass() {
    for folder in [sdk(), sdk().join("examples/order")] {
        let (code, out, err) = saga_sdk(&sdk(), &folder, &["test"]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.contains("fail 0") && !out.contains("pass 0"), "{out}");
    }
}

fn the_component_decides_as_the_vectors_say() {
    assert!(decides_as_the_vectors_say("order", order()) > 40);
}

/// Builds a project with StarlingMonkey, which is installed beside it by the command that the SDK names; once for all test runs.
///
/// # Errors
/// What npm said.
fn built_with_starlingmonkey(project: &Path) -> Result<PathBuf, String> {
    let component = project.join("rules.wasm");
    let build = || {
        let words = ["build", "--out", component.to_str().unwrap()];
        saga_sdk(&sdk(), project, &words)
    };
    let (mut code, _, mut told) = build();
    if let Some(place) = told.find("npm install") {
        let install = told[place..].lines().next().unwrap_or_default();
        let mut npm = Command::new("sh");
        npm.args(["-c", &format!("{install} --no-audit --no-fund")]);
        let (npm_code, out, err) = call(npm.current_dir(project));
        if npm_code != 0 {
            return Err(format!("{install}: {out}{err}"));
        }
        (code, _, told) = build();
    }
    assert_eq!(code, 0, "{told}");
    Ok(component)
}

fn rules_on_the_other_engine_decide_as_the_vectors_say() {
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join("typescript-starlingmonkey");
    std::fs::create_dir_all(&project).unwrap();
    for name in ["contract.ts", "rules.ts"] {
        let source = sdk().join("examples/order").join(name);
        std::fs::copy(source, project.join(name)).unwrap();
    }
    let manifest = project.join("package.json");
    if !manifest.exists() {
        let text = json!({
            "private": true,
            "type": "module",
            "saga": {"rules": "rules.ts", "engine": "starlingmonkey"},
        });
        std::fs::write(manifest, text.to_string()).unwrap();
    }
    match built_with_starlingmonkey(&project) {
        Ok(component) => assert!(decides_as_the_vectors_say("order", &component) > 40),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("StarlingMonkey: left out, it can't be installed ({why})");
        }
    }
}

fn the_same_sources_make_the_same_component_in_any_folder() {
    let directory = tempfile::tempdir().unwrap();
    let digest = |sdk: &Path, folder: &Path| {
        let (code, out, err) = saga_sdk(sdk, folder, &["build"]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        out.trim().rsplit(", ").next().unwrap().to_owned()
    };
    let copy = |from: &Path, to: &Path| {
        let status = Command::new("cp").args(["-rL"]).args([from, to]).status();
        assert!(status.unwrap().success());
    };
    let (project, other) = (
        directory.path().join("a/b/order"),
        directory.path().join("order"),
    );
    std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
    for folder in [&project, &other] {
        copy(&sdk().join("examples/order"), folder);
    }
    let first = digest(&sdk(), &project);
    // The SDK lies elsewhere too, as in the `vendor` of a project.
    let vendored = other.join("vendor/saga-sdk");
    std::fs::create_dir_all(&vendored).unwrap();
    for part in ["bin", "package.json", "src", "tools", "wit"] {
        copy(&sdk().join(part), &vendored.join(part));
    }
    std::os::unix::fs::symlink(sdk().join("node_modules"), other.join("node_modules")).unwrap();
    assert_eq!(digest(&vendored, &other), first);
    assert_eq!(digest(&vendored, &other), first, "again");
    let rules = std::fs::read_to_string(other.join("rules.ts")).unwrap();
    std::fs::write(
        other.join("rules.ts"),
        rules.replace("is zero", "is nothing"),
    )
    .unwrap();
    assert_ne!(digest(&vendored, &other), first, "other rules");
}

fn what_rules_throw_is_told_with_message_file_and_line() {
    let data = tempfile::tempdir().unwrap();
    trapped(data.path()).run_once();
    // What is thrown, and the line of `traps/src/rules.ts` that threw it, if it has one.
    let source = std::fs::read_to_string(here().join("traps/src/rules.ts")).unwrap();
    let line = |text: &str| 1 + source.lines().position(|line| line.contains(text)).unwrap();
    let cases = [
        ("error", "Error: no such luck", Some("  error: ()")),
        (
            "type-error",
            "TypeError: cannot read property 'member' of undefined",
            Some("as any).member"),
        ),
        ("range-error", "RangeError: ", Some("new Array(-1)")),
        ("syntax-error", "SyntaxError: ", Some("JSON.parse(\"{\")")),
        ("odd", "Odd: of a class of its own", Some("  odd: ()")),
        ("text", "threw only a text, which is no Error", None),
        (
            "object",
            "threw {\"tag\":\"malformed\",\"val\":\"not by the SDK\"}, which is no Error",
            None,
        ),
        (
            "cause",
            "Error: outer, caused by Error: inner",
            Some("cause: new Error"),
        ),
        (
            "assertion",
            "the amount is finer than a cent",
            Some("Money.of(\"0.001\")"),
        ),
        (
            "parse",
            "JSON.parse would read 9007199254740993 as 9007199254740992: use parse of saga-sdk",
            Some("parse: ()"),
        ),
        (
            "bigint",
            "JSON.stringify can't write a bigint: use stringify of saga-sdk",
            Some("bigint: ()"),
        ),
        (
            "timeout",
            "setTimeout does nothing in rules",
            Some("timeout: ()"),
        ),
        ("fetch", "fetch does nothing in rules", Some("fetch: ()")),
        (
            "undeclared",
            "the event other is published, but not declared",
            Some("undeclared: (turn)"),
        ),
        (
            "shape",
            "the new state is not of its declared shape: expected a whole number of 64 bits",
            Some("shape: (turn)"),
        ),
    ];
    let records: Vec<_> = cases
        .iter()
        .map(|(trap, ..)| {
            let body = json!({"trap": trap, "name": trap}).to_string();
            record(body).of_type("trapped")
        })
        .collect();
    publish(data.path(), "traps", &records);
    let host = trapped(data.path()).setting("retry.attempts", 1).start();
    until_consumed(data.path(), "traps");
    // A handler that waits, as for a late import, is told that rules never do.
    let late = host.post("traps", "/traps/k/late", &json!({"trap": "nothing"}));
    assert_eq!(late.status, 500, "{}", late.text());
    host.log_until("the rule of late gave a promise: rules never wait");
    let told = rows(
        data.path(),
        "SELECT detail FROM dead_letters ORDER BY offset",
    );
    assert_eq!(told.len(), cases.len(), "{told:?}");
    for ((trap, message, place), told) in cases.iter().zip(&told) {
        let told = &told[0];
        assert!(told.contains(message), "{trap}: {told}");
        let place = place.map_or(String::new(), |text| format!("src/rules.ts:{}", line(text)));
        assert!(told.contains(&place), "{trap}: not at {place}: {told}");
    }
    // What an operator is shown; records of different keys are decided in any order.
    let id = "SELECT id FROM dead_letters WHERE detail LIKE '%no such luck%'";
    let id = rows(data.path(), id)[0][0].clone();
    let words = ["dead-letters", "show", "traps", &id];
    let (code, out, err) = call(&mut asks(data.path(), &words));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let place = format!(
        "Error: no such luck, at src/rules.ts:{}",
        line("  error: ()")
    );
    assert!(out.contains(&place), "{out}");
    assert!(host.stop().success());
}

fn values_of_the_turn_follow_from_the_message() {
    let turn = |id: &str, time: u64, trap: &str| {
        let body = json!({"trap": trap}).to_string();
        message(
            &json!({"id": id, "source": "/s", "origin": "command", "name": "trap", "key": "k",
            "time": time, "correlation": "c", "body": body}),
        )
    };
    let (mut used, mut fresh) = (rules(traps(), "{}"), rules(traps(), "{}"));
    let mut value = |rules: usize, id: &str, time: u64, trap: &str| -> Value {
        let rules = [&mut used, &mut fresh].into_iter().nth(rules).unwrap();
        let decided = rules
            .handle(None, &turn(id, time, trap))
            .unwrap()
            .answer
            .unwrap();
        let reply = format!("{:?}", decided.reply);
        let reply = reply
            .trim_start_matches("Some(Done(")
            .trim_end_matches("))");
        let reply: String = serde_json::from_str(reply).unwrap();
        serde_json::from_str::<Value>(&reply).unwrap()["value"].clone()
    };
    for trap in ["random", "uuid"] {
        let first = value(0, "m-1", 1_000, trap);
        assert_ne!(first[0], first[1], "{trap}");
        assert_ne!(
            value(0, "m-2", 1_000, trap),
            first,
            "{trap} of another message"
        );
        assert_eq!(value(0, "m-1", 1_000, trap), first, "{trap} again");
        assert_eq!(
            value(1, "m-1", 2_000, trap),
            first,
            "{trap} of another instance"
        );
    }
    let now = value(0, "m-1", 1_796_194_399_253, "now");
    let expected = json!([
        1_796_194_399_253_u64,
        "2026-12-02T06:53:19.253Z",
        5,
        1_796_194_399_253_u64
    ]);
    assert_eq!(now, expected);
    let set = json!(["pear", "apple", "fig", "cherry"]);
    assert_eq!(
        [value(0, "m-1", 1, "set"), value(1, "m-9", 1, "set")],
        [set.clone(), set]
    );
}

fn no_digit_of_a_number_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    let put = |key: &str, member: &str, text: &str| {
        let body = format!(r#"{{"trap":"nothing","{member}":{text}}}"#);
        let answer = host.send("traps", "POST", &format!("/traps/{key}"), &body);
        let shown = host.get("traps", &format!("/traps/{key}")).text();
        (answer.status, shown)
    };
    for (text, kept) in [
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.0", "1"),
        ("1e3", "1000"),
    ] {
        assert_eq!(
            put("k", "customer", text),
            (200, format!(r#"{{"customer":{kept}}}"#))
        );
    }
    for text in ["10.10", "123456789012345678901234567890.0100", "1e-7"] {
        assert_eq!(
            put("a", "amount", text),
            (200, format!(r#"{{"amount":{text}}}"#))
        );
    }
    let before = put("k", "customer", "7").1;
    assert_eq!(put("k", "customer", "9223372036854775808"), (400, before));
    let exact = trap(&host, "p", &json!({"trap": "parse-exactly"}));
    assert_eq!(
        exact["value"].to_string(),
        r#"{"amount":10.1,"customer":12}"#
    );
    assert!(host.stop().success());
}

fn recursion_of_2000_levels_is_decided_and_without_end_is_a_fault() {
    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    let deep = trap(&host, "k", &json!({"trap": "recursion", "depth": 2_000}));
    assert_eq!(deep["value"], 2_000);
    let endless = host.post("traps", "/traps/k", &json!({"trap": "no-end"}));
    assert_eq!(endless.status, 500);
    host.log_until(
        "used up its 2097152 bytes of stack (`guest.stack_bytes`): it recurses too deeply",
    );
    assert_eq!(
        trap(&host, "k", &json!({"trap": "nothing"}))["value"],
        Value::Null
    );
    assert!(host.stop().success());
    // The setting is what counts.
    let small = trapped(data.path())
        .setting("guest.stack_bytes", 512 << 10)
        .start();
    let answer = small.post(
        "traps",
        "/traps/k",
        &json!({"trap": "recursion", "depth": 2_000}),
    );
    assert_eq!(answer.status, 500);
    assert!(small.stop().success());
}

fn what_a_module_keeps_between_turns_is_found() {
    let data = tempfile::tempdir().unwrap();
    let host = trapped(data.path()).start();
    for _ in 0..3 {
        trap(&host, "k", &json!({"trap": "global"}));
    }
    let path = traps().to_str().unwrap();
    let (code, err) = fails(&mut asks(data.path(), &["verify", path]));
    assert_eq!(code, 65, "{err}");
    assert!(
        err.contains("it is not a function of its input: on "),
        "{err}"
    );
    assert!(host.stop().success());
}

fn rules_are_swapped_between_languages_and_replayed_in_the_other() {
    orders::are_swapped_and_replayed(order());
}

/// A project of an author, with the packages of the SDK's own folder.
fn project(folder: &Path) -> PathBuf {
    let (code, _, err) = call(
        saga()
            .args(["new", "loan", "--lang", "typescript"])
            .current_dir(folder),
    );
    assert_eq!((code, err.as_str()), (0, ""));
    folder.join("loan")
}

fn a_new_project_is_tested_served_and_follows_its_sources() {
    let directory = tempfile::tempdir().unwrap();
    let folder = project(directory.path());
    let (code, out, err) = call(saga().arg("doctor").current_dir(&folder));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("node") && out.contains("npm"), "{out}");
    let test = || call(saga().arg("test").current_dir(&folder));
    let (code, out, err) = test();
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("$ npm install") && out.contains("\nok loan 0.1.0 "),
        "{out}"
    );

    let (source, tests) = (
        folder.join("src/rules.ts"),
        folder.join("tests/rules.test.ts"),
    );
    let mut command = saga();
    command.arg("dev").current_dir(&folder);
    let mut dev = Dev::start(&command, &[]);
    dev.until("ready: the sources are watched");
    let seat = json!({"seat": "C7", "guest": "Ann", "priceCents": 2500});
    assert_eq!(dev.post("/reservations", &seat).status, 201);
    edit(&source, "TimeSpan.of(\"15m\")", "TimeSpan.of(\"1m\")");
    dev.until("src/rules.ts has changed");
    let said = dev.until("done in");
    assert!(
        said.contains("is active, was") && said.contains("1 of 1 recorded inputs"),
        "{said}"
    );
    assert_eq!(dev.post("/reservations", &seat).status, 201);
    assert_eq!(dev.end("INT"), Some(0));

    // A wrong type, a failing test and a wrong contract are told, each by who finds it.
    edit(&tests, "2500 cents", "9 cents");
    let (code, out, err) = test();
    assert_eq!(code, 65, "{out}");
    assert!(
        err.contains("a test fails") && !out.contains("$ npm install"),
        "{out}{err}"
    );
    edit(
        &source,
        "filters: { guest: \"/guest\"",
        "filters: { gast: \"/gast\"",
    );
    let (code, out, err) = test();
    assert_eq!(code, 65, "{out}{err}");
    assert!(
        err.contains("a filter is at /gast, where the state has no member"),
        "{out}{err}"
    );
    edit(&source, "status: \"confirmed\"", "status: \"confirmt\"");
    let (code, out, err) = test();
    assert_eq!(code, 65, "{out}{err}");
    assert!(
        out.contains("src/rules.ts") && err.contains("the component does not build"),
        "{out}{err}"
    );
}

/// Builds with componentize-qjs alone, as its documentation says.
fn bare(directory: &Path, wit: &Path, script: &str, options: &[&str]) -> PathBuf {
    let (js, out) = (directory.join("rules.js"), directory.join("rules.wasm"));
    std::fs::write(&js, script).unwrap();
    let program = sdk().join("node_modules/.bin/componentize-qjs");
    let mut command = Command::new(program);
    command
        .arg("--wit")
        .arg(wit)
        .arg("--js")
        .arg(&js)
        .arg("-o")
        .arg(&out);
    let (code, said, err) = call(command.args(["--world", "participant"]).args(options));
    assert_eq!(code, 0, "{said}{err}");
    out
}

fn builds_of_the_toolchain_alone_run_or_are_told_its_option() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let wit = sdk().join("wit/participant.wit");
    let script = std::fs::read_to_string(here().join("bare.js")).unwrap();
    // By default it makes components that wait.
    let waits = bare(directory, &wit, &script, &[]);
    let began = Instant::now();
    let (code, err) = fails(saga().arg("verify").arg(&waits));
    assert_eq!(code, 65);
    assert!(err.contains("run componentize-qjs with `--sync`"), "{err}");
    // 30 ms on an idle machine; compiling it takes seconds.
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    for options in [
        &["--sync"][..],
        &["--sync", "--opt-size"],
        &["--sync", "--stub-wasi"],
    ] {
        let component = bare(directory, &wit, &script, options);
        let (code, out, err) = call(saga().arg("verify").arg(&component));
        assert_eq!((code, err.as_str()), (0, ""), "{options:?}: {out}");
    }
    // A function that rules are not granted may be imported; a call is a fault that names it.
    let wits = directory.join("wit");
    std::fs::create_dir_all(wits.join("deps/keyvalue")).unwrap();
    std::fs::copy(
        here().join("keyvalue.wit"),
        wits.join("deps/keyvalue/keyvalue.wit"),
    )
    .unwrap();
    let text = std::fs::read_to_string(&wit).unwrap();
    let text = text.replace(
        "    export rules;",
        "    import wasi:keyvalue/store@0.2.0;\n    export rules;",
    );
    std::fs::write(wits.join("participant.wit"), text).unwrap();
    let script = script
        .replace("// import", "import")
        .replace("// get(", "get(");
    let component = bare(directory, &wits, &script, &["--sync"]);
    let plugin = format!("bare={}", component.display());
    let data = directory.join("data");
    let host = Start::new(&[], &data)
        .arguments(&["--plugin", &plugin, "--listen", "bare=127.0.0.1:0"])
        .start();
    assert_eq!(host.post("bare", "/things/k", &json!({})).status, 500);
    let said = "called `wasi:keyvalue/store@0.2.0 get`, which rules are not granted";
    host.log_until(said);
    assert!(host.stop().success());
}
