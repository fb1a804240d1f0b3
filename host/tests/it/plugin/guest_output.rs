//! Components that print or panic where a host does not expect it: code of a component never runs on a thread of the runtime, and what is
//! found right starts.

use serde_json::json;

use crate::chameleon::{self, Chameleon, count, swap};
use crate::commands::call;
use crate::support::saga;

#[test]
fn a_component_that_prints_while_it_describes_itself_starts_wherever_it_was_taken() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let (quiet, loud) = (data.join("chameleon.wasm"), data.join("loud.wasm"));
    let prints = Chameleon::new()
        .version("2.0.0")
        .with(json!({"describe": "print"}));
    Chameleon::new().write(&quiet);
    prints.write(&loud);
    let (code, out, said) = call(saga().arg("verify").arg(&loud));
    assert_eq!(code, 0, "{out} {said}");
    let start = |file| chameleon::start(file, data).setting("reload.watch_ms", 0);
    let host = start(&quiet).start();
    count(&host, "k");
    swap(&host, &prints);
    assert_eq!(count(&host, "k")["by"], "2.0.0");
    assert!(host.stop().success());
    for (file, flags, by) in [
        (&quiet, &[][..], "2.0.0"),
        (&quiet, &["--apply"][..], "1.0.0"),
        (&loud, &["--apply"][..], "2.0.0"),
    ] {
        let host = start(file).arguments(flags).start();
        assert_eq!(count(&host, "k")["by"], by);
        assert!(host.stop().success());
    }
}

#[test]
fn a_component_whose_description_panics_is_refused_with_the_message() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chameleon.wasm");
    Chameleon::new()
        .with(json!({"describe": "panic"}))
        .write(&file);
    let (status, said) = chameleon::start(&file, directory.path()).fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(said.contains("chameleon can't describe itself"), "{said}");
    let (code, _, said) = call(saga().arg("verify").arg(&file));
    assert_eq!(code, 65, "{said}");
    assert!(said.contains("chameleon can't describe itself"), "{said}");
}
