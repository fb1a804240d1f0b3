//! Components that are refused: what is said, and that the host does not start on half of them. The bytes
//! of the small ones are written by hand; the format is that of the Component Model's `Binary.md`.

use std::path::Path;
use std::process::Stdio;

use saga_sdk::testing::contract_problems;
use saga_sdk::{Contract, Decision, EventType, Participant, Subscription, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::chameleon::Chameleon;
use crate::commands::call;
use crate::component_bytes::{COMPONENT, exporting, importing, section};
use crate::support::{component, output, saga};

/// The name under which rules are exported.
const RULES: &str = "saga:participant/rules@0.2.0";

/// Starts the host on these components; it must refuse them. Gives what it says.
fn refused(plugins: &[(&str, &Path)]) -> String {
    let data = tempfile::tempdir().unwrap();
    let mut command = saga();
    command.arg("run").arg("--data").arg(data.path());
    for (name, path) in plugins {
        command
            .arg("--plugin")
            .arg(format!("{name}={}", path.display()));
        command.arg("--listen").arg(format!("{name}=127.0.0.1:0"));
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (status, said) = output(child);
    assert_eq!(status.code(), Some(65), "{said}");
    said.lines().last().unwrap().to_owned()
}

/// A file with these bytes as the component `customer`; it must be refused.
fn refused_bytes(bytes: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.wasm");
    std::fs::write(&path, bytes).unwrap();
    let said = refused(&[("customer", &path)]);
    assert!(
        said.starts_with(&format!("saga: component {}: ", path.display())),
        "{said}"
    );
    said
}

#[test]
fn a_file_that_is_not_webassembly_is_named() {
    assert!(refused_bytes(b"").contains("the file is empty"));
    for bytes in [
        &b"no component, only some text\n"[..],
        b"\0as",
        b"\x7fELF\x02\x01\x01\0",
        &[0xa5; 4096],
    ] {
        let said = refused_bytes(bytes);
        assert!(
            said.contains("is not WebAssembly")
                && said.contains("cargo build --release --target wasm32-wasip2"),
            "{said}"
        );
    }
    let said = refused_bytes(b"\0asm\x01\0\0\0");
    assert!(
        said.contains("is a core module, not a component") && said.contains("wasm32-wasip2"),
        "{said}"
    );
}

#[test]
fn a_damaged_component_is_named() {
    let whole = std::fs::read(component("customer")).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    let garbage = [COMPONENT, &[0xa5; 4096]].concat();
    for bytes in [&whole[..whole.len() / 2], &whole[..9], &flipped, &garbage] {
        let said = refused_bytes(bytes);
        assert!(said.contains("does not compile"), "{said}");
    }
}

#[test]
fn the_refusal_of_another_world_names_the_expected_one() {
    for (bytes, has) in [
        (COMPONENT.to_vec(), "(it exports nothing)"),
        (
            exporting("wasi:cli/run@0.2.0"),
            "(it exports `wasi:cli/run@0.2.0`)",
        ),
    ] {
        let said = refused_bytes(&bytes);
        assert!(
            said.contains("not of the world saga:participant/participant"),
            "{said}"
        );
        assert!(
            said.contains(&format!("does not export `{RULES}`")) && said.contains(has),
            "{said}"
        );
    }
    let said = refused_bytes(&exporting("saga:participant/rules@9.0.0"));
    assert!(
        said.contains(RULES) && said.contains("saga:participant/rules@9.0.0"),
        "{said}"
    );
    let said = refused_bytes(&exporting(RULES));
    assert!(said.contains("lacks the function `describe`"), "{said}");
}

#[test]
fn a_component_that_asks_for_more_than_it_is_granted_is_refused() {
    for interface in [
        "vendor:shell/exec@1.0.0",
        "wasi-like:sockets/tcp@0.2.0",
        "saga:participant/store@0.2.0",
    ] {
        let said = refused_bytes(&importing(interface));
        assert!(
            said.contains(&format!(
                "imports `{interface}`, which rules are not granted"
            )),
            "{said}"
        );
    }
}

#[test]
fn interfaces_of_wasi_may_be_imported_though_they_are_not_granted() {
    for interface in [
        "wasi:sockets/tcp@0.2.9",
        "wasi:http/types@0.2.10",
        "wasi:http/outgoing-handler@0.2.10",
        "wasi:keyvalue/store@0.2.0-draft",
    ] {
        // What is wrong with it is another thing.
        let said = refused_bytes(&importing(interface));
        assert!(said.contains("does not export"), "{said}");
    }
}

#[test]
fn a_component_that_waits_is_told_the_option_of_its_toolchain() {
    // `task.cancel`, which only components have whose functions are async.
    let waiting = [COMPONENT, &section(8, &[1, 5])].concat();
    let said = refused_bytes(&waiting);
    assert!(
        said.contains("needs component-model async")
            && said.contains("componentize-qjs: with `--sync`"),
        "{said}"
    );
    let by = [&[4][..], b"name", b"componentize_qjs_runtime"].concat();
    let said = refused_bytes(&[waiting, section(0, &by)].concat());
    assert!(
        said.contains("run componentize-qjs with `--sync`"),
        "{said}"
    );
}

#[test]
fn a_path_that_leads_to_no_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("rules.wasm");
    let said = refused(&[("customer", &missing)]);
    assert!(
        said.contains(&format!("{}", missing.display())) && said.contains("No such file"),
        "{said}"
    );
    let said = refused(&[("customer", directory.path())]);
    assert!(
        said.contains(&format!("{}", directory.path().display())) && said.contains("not a file"),
        "{said}"
    );
    let said = refused(&[("customer", Path::new("/dev/zero"))]);
    assert!(
        said.contains("/dev/zero") && said.contains("not a file"),
        "{said}"
    );
    std::fs::File::create(&missing)
        .unwrap()
        .set_len(200 << 20)
        .unwrap();
    let said = refused(&[("customer", &missing)]);
    assert!(said.contains("over the limit of"), "{said}");
}

#[test]
fn a_component_under_another_name_is_refused_with_its_own_name() {
    let said = refused(&[("order", &component("customer"))]);
    assert!(
        said.contains("describes the participant `customer`, not `order`"),
        "{said}"
    );
    assert!(said.contains("--plugin customer=PATH"), "{said}");
}

#[test]
fn one_bad_component_prevents_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.wasm");
    std::fs::write(&bad, "no component").unwrap();
    let said = refused(&[
        ("booking", &component("booking")),
        ("customer", &component("customer")),
        ("order", &bad),
    ]);
    assert!(said.contains("bad.wasm"), "{said}");
}

#[test]
fn a_component_whose_description_traps_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let start = |setting: &str, value: u64| {
        crate::support::Start::new(&["customer"], data.path())
            .setting(setting, value)
            .fail()
    };
    for (setting, value, kind) in [
        ("guest.fuel", 1_000, "out-of-fuel"),
        ("guest.memory_bytes", 65_536, "out-of-memory"),
        ("guest.answer_bytes", 1_024, "output-too-large"),
    ] {
        let (status, said) = start(setting, value);
        assert_eq!(status.code(), Some(65), "{said}");
        assert!(
            said.contains(&format!("broke in `describe`: {kind}")),
            "{setting}: {said}"
        );
    }
}

/// The component of customer as one that was built for another state of the contract: a member has another name.
fn older() -> Vec<u8> {
    let mut bytes = std::fs::read(component("customer")).unwrap();
    let (name, other) = (b"oldest-readable", b"oldest-readible");
    let places: Vec<_> = (0..bytes.len() - name.len())
        .filter(|place| bytes[*place..].starts_with(name))
        .collect();
    for place in places {
        bytes[place..place + other.len()].copy_from_slice(other);
    }
    bytes
}

#[test]
fn the_refusal_of_another_contract_names_both_versions() {
    let said = refused_bytes(&older());
    assert!(
        said.contains("not of the world saga:participant/participant")
            && said.contains(&format!(
                "was built for another state of the contract `{RULES}`"
            ))
            && said.contains("`describe().state` lacks `oldest-readable`")
            && said.contains("build it again with the saga-sdk of this host"),
        "{said}"
    );
    let said = refused_bytes(&exporting("saga:participant/rules@0.0.9"));
    assert!(
        said.contains("was built for the contract `saga:participant/rules@0.0.9`")
            && said.contains(&format!(
                "this host takes `{RULES}` and `saga:participant/rules@0.1.0`: build it again"
            )),
        "{said}"
    );
    let said = refused_bytes(&exporting("saga:participant/rules@0.10.0"));
    assert!(
        said.contains("run it on a newer host, or build it again"),
        "{said}"
    );
}

/// An event of another participant.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Told {
    key: String,
}

/// Listens to it, and takes the key from where there is none.
struct Listener<const POINTER: usize>;

/// Places at which no key can be.
const NOWHERE: [&str; 2] = ["/kye", ""];

impl<const POINTER: usize> Participant for Listener<POINTER> {
    type State = u32;
    type Key = String;

    fn contract() -> Contract<u32> {
        let hear = |_: Option<u32>, _: Told, _: &Turn| Decision::unchanged();
        let told = EventType::new("told", "tales");
        Contract::new("listener", "1.0.0", "Listens.").on(Subscription::to(
            told,
            "listener",
            NOWHERE[POINTER],
            hear,
        ))
    }
}

#[test]
fn a_key_pointer_without_a_target_is_refused_by_the_host_as_by_the_test_kit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chameleon.wasm");
    let of_author = [
        contract_problems::<Listener<0>>(),
        contract_problems::<Listener<1>>(),
    ];
    let reasons = [
        "subscription told: key `/kye` leads nowhere: the schema names no `kye` there, but `key`",
        "subscription told: key `` is not a JSON pointer such as `/order/id`",
    ];
    for ((pointer, problems), reason) in NOWHERE.into_iter().zip(of_author).zip(reasons) {
        assert_eq!(problems, [reason]);
        let told = json!({"type": "object", "properties": {"key": {"type": "string"}}});
        let subscription = json!({
            "event_type": "told", "topic": "tales", "group": "listener", "key": pointer, "schema": told,
        });
        Chameleon::new()
            .with(json!({"subscriptions": [subscription]}))
            .write(&path);
        let (code, _, said) = call(saga().arg("verify").arg(&path));
        assert_eq!(code, 65, "{said}");
        assert!(said.contains(reason), "{said}");
        let said = refused(&[("chameleon", &path)]);
        assert!(said.contains(reason), "{said}");
    }
}
