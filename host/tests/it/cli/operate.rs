//! Commands of an operator for a host that runs: `saga apply`, `saga rollback`, `saga
//! generations`, SIGHUP; what they print and their exit codes.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{Chameleon, count, second, start_unwatched as start};
use crate::commands::{asks, call, fails, json_of};
use crate::expect::until;
use crate::support::{Host, saga, signal};

const TOKEN: &str = "a-token-of-some-length";

/// A component of this content in the directory; gives its path.
fn written(directory: &Path, name: &str, build: &Chameleon) -> String {
    let path = directory.join(name);
    build.write(&path);
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_component_is_applied_listed_and_rolled_back() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).start();
    let path = written(data, "second.wasm", &second());
    let (first, second) = (Chameleon::new().digest(), second().digest());
    count(&host, "k");

    let (code, out, err) = call(&mut asks(data, &["apply", "chameleon", &path]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let line = format!(
        "chameleon 2.0.0 {} is active, was {};",
        &second[..12],
        &first[..12]
    );
    assert!(out.starts_with(&line), "{out}");
    assert_eq!(count(&host, "k")["by"], "2.0.0");
    let (code, out, _) = call(&mut asks(data, &["apply", "chameleon", &path]));
    assert_eq!(code, 0);
    assert!(out.contains("was active already"), "{out}");

    let (code, out, err) = call(&mut asks(data, &["generations"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "chameleon");
    assert!(lines[1].trim_start().starts_with("DIGEST"), "{out}");
    assert!(
        lines[2].starts_with(&format!("*  {}  2.0.0 ", &second[..12])),
        "{out}"
    );
    assert!(
        lines[3].starts_with(&format!("   {}  1.0.0 ", &first[..12])),
        "{out}"
    );
    assert_eq!(
        lines[4],
        format!(
            "  change to {}: decisions not replayed, same contract",
            &second[..12]
        )
    );
    assert!(
        lines[5].contains("chameleon.wasm") && lines[5].contains("differs"),
        "{out}"
    );

    let told = json_of(&mut asks(data, &["generations", "chameleon"]));
    assert_eq!(told["active"], second);
    let all = json_of(&mut asks(data, &["generations"]));
    assert_eq!(all, json!({"participants": [told]}));

    let back = json_of(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(
        (&back["digest"], &back["changed"]),
        (&json!(first), &json!(true))
    );
    let forth = json_of(&mut asks(data, &["rollback", "chameleon", &second[..8]]));
    assert_eq!(forth["digest"], second);
    assert!(host.stop().success());
}

#[test]
fn a_component_can_come_from_standard_input() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let path = written(data.path(), "second.wasm", &second());
    let output = asks(data.path(), &["apply", "chameleon", "-", "--json"])
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let applied: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(applied["digest"], second().digest());
    assert!(host.stop().success());
}

#[test]
fn failed_commands_have_their_exit_codes_and_reasons() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).start();
    // A route counts as in use once it was asked for.
    count(&host, "k");
    let good = written(data, "second.wasm", &second());
    let no_routes = Chameleon::new().with(json!({"commands": []}));
    let no_routes = written(data, "no-routes.wasm", &no_routes);
    let text = data.join("text.wasm");
    std::fs::write(&text, "no component").unwrap();
    let text = text.to_str().unwrap();
    for (arguments, expected, says) in [
        (
            &["apply", "chameleon", text][..],
            65,
            "refused (component): ",
        ),
        (
            &["apply", "chameleon", &no_routes],
            65,
            "refused (compatibility): ",
        ),
        (
            &["apply", "chameleon", "none.wasm"],
            65,
            "component none.wasm: can't be read",
        ),
        (
            &["apply", "nobody", &good],
            64,
            "there is no participant `nobody`",
        ),
        (&["rollback", "chameleon"], 64, "unknown-generation"),
        (&["rollback", "chameleon", "feed"], 64, "feed"),
        (
            &["generations", "nobody"],
            64,
            "there is no participant `nobody`",
        ),
        (&["generations", "a/b"], 64, "lower-case letters"),
        (
            &["generations", "--admin", host.admin()],
            64,
            "cannot be used with",
        ),
        (&["apply", "chameleon"], 64, "<PATH>"),
    ] {
        let (code, err) = fails(&mut asks(data, arguments));
        assert_eq!(code, expected, "{arguments:?}: {err}");
        assert!(
            err.contains(says),
            "{arguments:?}: `{says}` is not in\n{err}"
        );
    }
    // For machines, what is wrong stands on standard output too.
    let (code, out, err) = call(&mut asks(
        data,
        &["apply", "chameleon", &no_routes, "--json"],
    ));
    assert_eq!(code, 65, "{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["check"], "compatibility");
    let reasons = said["reasons"].as_array().unwrap();
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), reasons.len() + 1, "{err}");
    assert_eq!(
        lines.last().unwrap(),
        &"saga: refused (compatibility): --drop-used takes it all the same"
    );
    assert_eq!(count(&host, "k")["by"], "1.0.0");

    let (code, out, err) = call(&mut asks(
        data,
        &["apply", "chameleon", &no_routes, "--drop-used"],
    ));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(host.stop().success());
}

#[test]
fn an_unreachable_host_is_reported() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let path = written(data, "second.wasm", &second());
    let apply = ["apply", "chameleon", path.as_str()];
    let (code, err) = fails(&mut asks(data, &apply));
    assert_eq!(code, 69, "{err}");
    assert!(
        err.contains("saga run") && err.contains("--admin URL"),
        "{err}"
    );

    start(data).start().kill();
    let (code, err) = fails(&mut asks(data, &apply));
    assert_eq!(code, 69, "what a crash left behind: {err}");

    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let (code, err) = fails(saga().args(apply).args(["--admin", &url]));
    assert_eq!(code, 69, "{err}");
    assert!(err.contains(&free.to_string()), "{err}");
    let (code, err) = fails(saga().args(apply).args(["--admin", "https://localhost:1"]));
    assert_eq!(code, 64, "{err}");
}

#[test]
fn a_token_is_read_from_a_file_or_the_environment() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).setting("admin.token", TOKEN).start();
    let file = |name: &str, content: &str| {
        let path = data.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = file("right", &format!("{TOKEN}\n"));
    let wrong = file("wrong", "another-token-of-some-length");
    let short = file("short", "short");
    let look = || asks(data, &["generations"]);

    for command in [
        look().args(["--token-file", &right]),
        look().env("SAGA__ADMIN__TOKEN", TOKEN),
        saga().args([
            "generations",
            "--admin",
            host.admin(),
            "--token-file",
            &right,
        ]),
    ] {
        let (code, out, err) = call(command);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
    }
    for (command, expected, says) in [
        (&mut look(), 77, "--token-file"),
        (look().args(["--token-file", &wrong]), 77, "unauthorized"),
        (look().args(["--token-file", &short]), 64, "not 5"),
        (
            look().args(["--token-file", "/none/such"]),
            64,
            "/none/such can't be read",
        ),
        (
            look().env("SAGA__ADMIN__TOKEN", "two words of a token"),
            64,
            "SAGA__ADMIN__TOKEN",
        ),
    ] {
        let (code, err) = fails(command);
        assert_eq!(code, expected, "{err}");
        assert!(err.contains(says), "`{says}` is not in\n{err}");
        assert!(
            !err.contains("two words") && !err.contains("another-token"),
            "{err}"
        );
    }
    let path = written(data, "second.wasm", &second());
    let (code, err) = fails(&mut asks(data, &["apply", "chameleon", &path]));
    assert_eq!(code, 77, "{err}");
    assert!(host.stop().success());
}

/// The digest that is active.
fn active(data: &Path) -> Value {
    json_of(&mut asks(data, &["generations", "chameleon"]))["active"].clone()
}

#[test]
fn sighup_reads_the_files_again() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).start();
    second().write(&data.join("chameleon.wasm"));
    assert_eq!(active(data), Chameleon::new().digest(), "it is not watched");
    signal(host.id(), "HUP");
    until("the new file is active", || {
        active(data) == second().digest()
    });
    let told = json_of(&mut asks(data, &["generations", "chameleon"]));
    assert_eq!(told["generations"][0]["way"], "signal");
    assert_eq!(count(&host, "k")["by"], "2.0.0");
    // One that is refused is said, and the host goes on.
    std::fs::write(data.join("chameleon.wasm"), "no component").unwrap();
    signal(host.id(), "HUP");
    until("the refusal is told of", || {
        let told = json_of(&mut asks(data, &["generations", "chameleon"]));
        told["refused"][0]["way"] == "signal"
    });
    assert_eq!(count(&host, "k")["by"], "2.0.0");
    assert!(host.stop().success());
}

#[test]
fn a_start_activates_the_file_only_with_apply() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let by = |host: &Host| count(host, "k")["by"].clone();
    let host = start(data).start();
    assert_eq!(by(&host), "1.0.0");
    assert!(host.stop().success());

    second().write(&data.join("chameleon.wasm"));
    let host = start(data).start();
    assert_eq!(by(&host), "1.0.0", "what was active is active again");
    assert!(host.log().contains("chameleon.wasm"), "{}", host.log());
    assert!(host.stop().success());

    let host = start(data).arguments(&["--apply"]).start();
    assert_eq!(by(&host), "2.0.0");
    assert!(host.stop().success());
    let host = start(data).start();
    assert_eq!(by(&host), "2.0.0");
    assert!(host.stop().success());
}

#[test]
fn a_component_is_verified_without_a_host() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let first = written(data, "first.wasm", &Chameleon::new());
    let other = written(data, "second.wasm", &second());
    let no_routes = Chameleon::new().with(json!({"commands": []}));
    let no_routes = written(data, "no-routes.wasm", &no_routes);
    let text = data.join("text.wasm");
    std::fs::write(&text, "no component").unwrap();
    let text = text.to_str().unwrap();

    let (code, out, err) = call(saga().args(["verify", &other]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out, format!("ok chameleon 2.0.0 {}\n", second().digest()));
    for (arguments, says) in [
        (&["verify", text][..], "refused (component): "),
        (&["verify", "none.wasm"], "none.wasm"),
        (
            &["verify", &no_routes, "--against", &first],
            "refused (compatibility): ",
        ),
        (
            &["verify", &first, "--participant", "order"],
            "`chameleon`, not `order`",
        ),
    ] {
        let (code, err) = fails(saga().args(arguments));
        assert_eq!(code, 65, "{arguments:?}: {err}");
        assert!(
            err.contains(says),
            "{arguments:?}: `{says}` is not in\n{err}"
        );
    }
    let (code, out, _) = call(saga().args(["verify", &no_routes, "--against", &first, "--json"]));
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["check"]), (65, &json!("compatibility")));

    // Against what a host runs, and has recorded.
    let host = start(data).start();
    count(&host, "k");
    let verified = json_of(&mut asks(data, &["verify", &other]));
    assert_eq!(verified["digest"], second().digest());
    assert_eq!(verified["probe"]["inputs"], 1, "{verified}");
    assert_eq!(verified["probe"]["decided_otherwise"], 1, "{verified}");
    let (code, err) = fails(&mut asks(data, &["verify", &no_routes]));
    assert_eq!(code, 65, "{err}");
    assert!(host.stop().success());
}

#[test]
fn generations_are_read_from_the_store_of_a_stopped_host() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let (code, err) = fails(&mut asks(data, &["generations"]));
    assert_eq!(code, 69, "{err}");
    assert!(err.contains("there is no store"), "{err}");

    let host = start(data).start();
    count(&host, "k");
    assert!(host.stop().success());
    let (code, out, err) = call(&mut asks(data, &["generations"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let first = Chameleon::new().digest();
    assert!(
        out.starts_with("No host can be asked")
            && out.contains(&format!("*  {}  1.0.0", &first[..12])),
        "{out}"
    );
    let told = json_of(&mut asks(data, &["generations", "chameleon"]));
    assert_eq!(
        (&told["active"], &told["generations"][0]["decisions"]),
        (&json!(first), &json!(1))
    );
    let (code, err) = fails(&mut asks(data, &["generations", "nobody"]));
    assert_eq!(code, 64, "{err}");

    // So it is after a crash, and beside a host that serves no admin interface.
    start(data).start().kill();
    assert_eq!(
        json_of(&mut asks(data, &["generations", "chameleon"]))["active"],
        first
    );
    let host = start(data).setting("admin.listen", "off").start();
    assert_eq!(
        json_of(&mut asks(data, &["generations", "chameleon"]))["active"],
        first
    );
    assert!(host.stop().success());
}
