//! `saga dev`: the rules that run follow the sources, and stay where a change is no good.

use serde_json::json;

use super::project::Project;
use crate::chameleon::Chameleon;
use crate::commands::call;
use crate::dev::Dev;
use crate::support::request;

/// Starts it in a project.
fn started(project: &Project, arguments: &[&str]) -> Dev {
    Dev::start(&project.saga("dev"), arguments)
}

const SOURCE: &str = "src/lib.rs";
const TIMEOUT: &str = "from_secs(15 * 60)";
const TIMEOUT_CHANGED: &str = "from_secs(60)";

#[test]
fn the_rules_that_run_follow_the_sources() {
    let project = Project::new();
    let mut dev = started(&project, &[]);
    let said = dev.until("ready: the sources are watched");
    assert!(
        said.contains("a_payment_in_time_confirms_it ... ok"),
        "{said}"
    );
    assert!(dev.url("Swagger UI").ends_with("/loan/swagger-ui/"));
    let seat = json!({"seat": "C7", "guest": "Ann", "priceCents": 2500});
    assert_eq!(dev.post("/reservations", &seat).status, 201);
    assert_eq!(dev.readiness()["status"], "ready");
    // Its data is kept while it runs.
    let (code, _, err) = call(project.saga("dev").arg("--reset"));
    assert_eq!(code, 73, "{err}");
    assert!(err.contains("a host runs on it"), "{err}");

    // A change is swapped in, and what it changes is told.
    project.edit(SOURCE, TIMEOUT, TIMEOUT_CHANGED);
    dev.until("src/lib.rs has changed");
    let said = dev.until("done in");
    assert!(
        said.contains("is active, was")
            && said.contains("1 of 1 recorded inputs decided differently"),
        "{said}"
    );
    assert!(said.contains("reply /pending/payBefore: "), "{said}");

    // What does not build, or fails a test, leaves the active rules active.
    project.edit(SOURCE, "fn money(", "fn money(,");
    dev.until("src/lib.rs has changed");
    dev.until("the component does not build");
    dev.until("done in");
    let told = dev.readiness();
    assert_eq!(told["status"], "degraded");
    assert!(
        told["build"].as_str().unwrap().contains("does not build"),
        "{told}"
    );
    assert_eq!(dev.post("/reservations", &seat).status, 201);
    project.edit(SOURCE, "fn money(,", "fn money(");
    project.edit("tests/rules.rs", "2500 cents", "9 cents");
    dev.until("has changed");
    dev.until("a test fails");
    assert!(dev.until("done in").contains("the active rules stay"));
    assert!(
        dev.readiness()["build"]
            .as_str()
            .unwrap()
            .contains("a test fails")
    );

    // So does a component that is refused.
    project.edit("tests/rules.rs", "9 cents", "2500 cents");
    project.edit(
        SOURCE,
        "\"/reservations\", reserve)",
        "\"/seats\", reserve)",
    );
    dev.until("refused (compatibility)");
    let said = dev.until("done in");
    let component = "target/wasm32-wasip2/release/loan.wasm";
    let advice = format!(
        "to take it all the same: saga apply loan {component} --data .saga --drop-used; or restart with saga dev --drop-used"
    );
    assert!(said.contains(&advice), "{said}");
    let told = dev.readiness();
    assert!(
        told["build"].as_str().unwrap().contains("--drop-used"),
        "{told}"
    );
    assert_eq!(dev.post("/reservations", &seat).status, 201);

    // What is active already is not swapped, and the host is as good as before.
    project.edit(
        SOURCE,
        "\"/seats\", reserve)",
        "\"/reservations\", reserve)",
    );
    dev.until("was active already");
    dev.until("done in");
    assert_eq!(dev.readiness()["status"], "ready");
    assert_eq!(dev.readiness().get("build"), None);

    // A source that is saved unchanged is not built, nor is what is none: the next round is that of another file.
    project.edit(SOURCE, TIMEOUT_CHANGED, TIMEOUT_CHANGED);
    std::fs::write(project.path().join("dev.log"), "").unwrap();
    std::fs::write(project.path().join("tests/seats.json"), "").unwrap();
    assert!(dev.until(" has changed").contains("tests/seats.json"));
    dev.until("done in");
    assert_eq!(dev.end("HUP"), Some(0));

    // What happened is kept until a reset.
    for (arguments, status) in [(&[][..], 200), (&["--reset"], 404)] {
        let mut dev = started(&project, arguments);
        dev.until("ready: the sources are watched");
        let url = format!("{}/reservations/1", dev.url("loan "));
        assert_eq!(request("GET", &url, &[], b"").status, status);
        assert_eq!(dev.end("INT"), Some(0));
    }
}

#[test]
fn a_first_build_that_fails_waits_for_the_next_change() {
    let project = Project::new();
    project.edit(SOURCE, "fn money(", "fn money(,");
    let mut dev = started(&project, &[]);
    dev.until("the component does not build");
    dev.until("nothing runs yet");
    // Settings that are wrong are read again, too.
    let settings = project.path().join("saga.toml");
    let first = std::fs::read_to_string(&settings).unwrap();
    let wrong = first.clone() + "\n[participants.loan.rules]\npayment_timeout = \"soon\"\n";
    std::fs::write(&settings, wrong).unwrap();
    project.edit(SOURCE, "fn money(,", "fn money(");
    let said = dev.until("nothing runs yet");
    assert!(
        said.contains("refused (settings): ")
            && said.contains("a length of time such as 30s or 5m"),
        "{said}"
    );
    std::fs::write(&settings, first).unwrap();
    dev.until("ready: the sources are watched");
    assert_eq!(dev.end("INT"), Some(0));

    // The end of the terminal while nothing runs, in the middle of a build.
    project.edit(SOURCE, "fn money(", "fn money(,");
    let mut dev = started(&project, &[]);
    dev.until("$ cargo build");
    assert_eq!(dev.end("HUP"), Some(0));
}

#[test]
fn settings_of_rules_and_other_participants_follow_their_files() {
    let project = Project::new();
    let other = project.path().join("../chameleon.wasm");
    Chameleon::new().version("1.0.0").write(&other);
    let arguments = [
        "--plugin",
        "chameleon=../chameleon.wasm",
        "--listen",
        "chameleon=127.0.0.1:0",
    ];
    let start = || started(&project, &arguments);
    let version = |dev: &Dev| {
        let told = dev.readiness();
        let participants = told["participants"].as_array().unwrap().clone();
        let one = participants.iter().find(|one| one["name"] == "chameleon");
        one.unwrap()["version"].as_str().unwrap().to_owned()
    };
    let mut dev = start();
    dev.until("ready: the sources are watched");

    // Settings, and back.
    let settings = project.path().join("saga.toml");
    let first = std::fs::read_to_string(&settings).unwrap();
    let with = |timeout: &str| {
        let rules = format!("\n[participants.loan.rules]\npayment_timeout = \"{timeout}\"\n");
        // Whole at once: a file that is half written is a change of its own.
        let next = settings.with_extension("next");
        std::fs::write(&next, first.clone() + &rules).unwrap();
        std::fs::rename(&next, &settings).unwrap();
    };
    with("1s");
    dev.until("saga.toml has changed");
    let said = dev.until("done in");
    assert!(
        said.contains(" with payment_timeout = \"1s\" is active, was "),
        "{said}"
    );
    with("soon");
    dev.until("refused (settings)");
    let said = dev.until("done in");
    assert!(said.contains("the active rules stay"), "{said}");
    with("2s");
    let said = dev.until("done in");
    assert!(
        said.contains(" with payment_timeout = \"2s\" is active, was "),
        "{said}"
    );
    assert_eq!(dev.readiness()["status"], "ready");

    // The component of another participant, without a build of this one.
    Chameleon::new().version("1.1.0").write(&other);
    dev.until("chameleon.wasm has changed");
    let said = dev.until("done in");
    assert!(
        said.contains("chameleon 1.1.0 ") && !said.contains("$ cargo"),
        "{said}"
    );
    assert_eq!(version(&dev), "1.1.0");
    assert_eq!(dev.end("INT"), Some(0));

    // Both at a restart, before it says that it is ready.
    Chameleon::new().version("1.2.0").write(&other);
    with("3s");
    let mut dev = start();
    let said = dev.until("ready: the sources are watched");
    assert!(
        said.contains("payment_timeout = \"3s\" is active, was "),
        "{said}"
    );
    assert!(said.contains("chameleon 1.2.0 "), "{said}");
    assert_eq!(version(&dev), "1.2.0");
    std::fs::write(&settings, format!("drain_seconds = 9\n{first}")).unwrap();
    let said = dev.until("done in");
    assert!(
        said.contains("takes at its next start") && said.contains("is active, was"),
        "{said}"
    );
    assert_eq!(dev.end("INT"), Some(0));
}

#[test]
fn a_package_that_only_tests_use_reruns_them() {
    let project = Project::new();
    let invoice = project.path().join("../invoice");
    std::fs::create_dir_all(invoice.join("src")).unwrap();
    let write = |file: &str, text: &str| std::fs::write(invoice.join(file), text).unwrap();
    write(
        "Cargo.toml",
        "[package]\nname = \"invoice\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    write("src/lib.rs", "pub const PRICE: u64 = 2500;\n");
    project.edit(
        "Cargo.toml",
        "[dependencies]",
        "[dev-dependencies]\ninvoice = { path = \"../invoice\" }\n\n[dependencies]",
    );
    let test =
        "use invoice::PRICE;\n#[test]\nfn the_price_is_known() { assert_eq!(PRICE, 2500); }\n";
    std::fs::write(project.path().join("tests/price.rs"), test).unwrap();
    let mut dev = started(&project, &[]);
    dev.until("ready: the sources are watched");
    write("src/lib.rs", "pub const PRICE: u64 = 9;\n");
    dev.until("invoice/src/lib.rs has changed");
    dev.until("the_price_is_known ... FAILED");
    dev.until("a test fails");
    dev.until("done in");
    write("src/lib.rs", "pub const PRICE: u64 = 2500;\n");
    let said = dev.until("done in");
    assert!(said.contains("was active already"), "{said}");
    assert_eq!(dev.end("INT"), Some(0));
}
