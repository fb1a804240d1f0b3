//! Components that are refused: what is said, and that the host does not start on half of them. The bytes
//! of the small ones are written by hand; the format is that of the Component Model's `Binary.md`.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::chameleon::Chameleon;
use crate::operator::call;
use crate::support::{component, output, saga};

/// The preamble of every component: the empty one is just this.
pub const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The name under which rules are exported.
const RULES: &str = "saga:participant/rules@0.1.0";

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

/// A section of a component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "would need a longer LEB128");
    [&[id, length], content].concat()
}

fn name(text: &str) -> Vec<u8> {
    [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A component that imports an empty interface of this name and exports nothing.
pub fn importing(interface: &str) -> Vec<u8> {
    let types = section(7, &[1, 0x42, 0]);
    let imports = section(10, &[&[1], name(interface).as_slice(), &[5, 0]].concat());
    [COMPONENT, &types, &imports].concat()
}

/// A component that exports an empty interface of this name.
fn exporting(interface: &str) -> Vec<u8> {
    let instances = section(5, &[1, 1, 0]);
    let exports = section(11, &[&[1], name(interface).as_slice(), &[5, 0, 0]].concat());
    [COMPONENT, &instances, &exports].concat()
}

#[test]
fn what_is_no_webassembly_is_named() {
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
fn a_component_of_another_world_is_told_which_is_wanted() {
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
        "wasi:sockets/tcp@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:keyvalue/store@0.2.0",
        "vendor:shell/exec@1.0.0",
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
fn a_component_under_another_name_is_told_its_own() {
    let said = refused(&[("order", &component("customer"))]);
    assert!(
        said.contains("describes the participant `customer`, not `order`"),
        "{said}"
    );
    assert!(said.contains("--plugin customer=PATH"), "{said}");
}

#[test]
fn one_bad_component_stops_the_start_of_all() {
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
fn a_component_that_breaks_when_it_is_asked_what_it_is_is_refused() {
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
fn a_component_for_another_contract_is_told_which_it_was_built_for_and_which_is_taken() {
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
            && said.contains(&format!("this host takes `{RULES}`")),
        "{said}"
    );
}

#[test]
fn the_contract_that_a_host_takes_is_that_of_the_wit() {
    let built = std::fs::read(component("customer")).unwrap();
    let built = saga_host::plugin::world::contract_of(&built).unwrap();
    let own = include_str!("../../src/plugin/contract.txt");
    assert_eq!(
        built, own,
        "put this into host/src/plugin/contract.txt:\n{built}"
    );
}

#[test]
fn a_key_that_the_schema_of_the_event_does_not_have_is_refused_before_any_record_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chameleon.wasm");
    let told = json!({"type": "object", "properties": {"key": {"type": "string"}}});
    let subscription = json!({
        "event_type": "told", "topic": "tales", "group": "listener", "key": "/kye", "schema": told,
    });
    Chameleon::new()
        .with(json!({"subscriptions": [subscription]}))
        .write(&path);
    let reason =
        "subscription told: key `/kye` leads nowhere: the schema names no `kye` there, but `key`";
    let (code, _, said) = call(saga().arg("verify").arg(&path));
    assert_eq!(code, 65, "{said}");
    assert!(said.contains(reason), "{said}");
    let said = refused(&[("chameleon", &path)]);
    assert!(said.contains(reason), "{said}");
}
