//! The documents pass validators that are not ours.

use crate::Test;
use crate::support::Host;
use crate::tools::{Found, Tool, folder, run};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("documents::openapi", &[Tool::Python], openapi),
    ("documents::asyncapi", &[Tool::Node], asyncapi),
];

fn openapi(host: &Host, found: &Found) {
    let directory = tempfile::tempdir().unwrap();
    for participant in ["customer", "order"] {
        let place = directory.path().join(participant);
        std::fs::create_dir(&place).unwrap();
        let document = host.get(participant, "/openapi.json");
        assert_eq!(document.status, 200, "{}", document.text());
        std::fs::write(place.join("openapi.json"), document.body).unwrap();
    }
    let mut command = found.python("python");
    command
        .arg(folder().join("documents.py"))
        .arg(directory.path());
    assert_eq!(run(command), "customer: valid\norder: valid\n");
}

fn asyncapi(host: &Host, found: &Found) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = found.node("asyncapi.cjs");
    for participant in ["customer", "order"] {
        let document = host.get(participant, "/asyncapi.json");
        assert_eq!(document.status, 200, "{}", document.text());
        let file = directory.path().join(format!("{participant}.json"));
        std::fs::write(&file, document.body).unwrap();
        command.arg(file);
    }
    print!("{}", run(command));
}
