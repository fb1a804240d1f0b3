//! `saga dev`: the rules that run follow the sources, and stay where a change is no good.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::project::Project;
use crate::commands::call;
use crate::support::{Response, request, signal};

/// Longest wait: the first build compiles all dependencies.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running `saga dev`. It is killed on drop.
struct Dev {
    child: Child,
    said: Arc<Mutex<String>>,
    read: usize,
}

impl Dev {
    fn start(project: &Project, arguments: &[&str]) -> Self {
        let dev = project.saga("dev");
        // Both streams in one, in order.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(dev.get_program());
        command.args(dev.get_args()).args(arguments);
        command.args(["--listen", "loan=127.0.0.1:0"]);
        command.current_dir(project.path());
        for (name, value) in dev.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("SAGA__ADMIN__LISTEN", "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (out, all) = (child.stdout.take().unwrap(), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let mut said = all.lock();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self {
            child,
            said,
            read: 0,
        }
    }

    /// Waits until it says this after what was awaited before; gives what it said until then.
    fn until(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let said = self.said.lock().clone();
            if let Some(at) = said[self.read..].find(text) {
                let end = self.read + at + text.len();
                let begin = std::mem::replace(&mut self.read, end);
                return said[begin..end].to_owned();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "it does not say `{text}`:\n{said}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The URL that follows a word on a line of its own.
    fn url(&self, word: &str) -> String {
        let said = self.said.lock();
        let mut lines = said.lines().filter_map(|line| line.strip_prefix(word));
        let url = lines.find_map(|rest| {
            rest.trim()
                .starts_with("http")
                .then(|| rest.trim().to_owned())
        });
        url.unwrap_or_else(|| panic!("no URL of {word}:\n{said}"))
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        let headers = [("content-type", "application/json")];
        request(
            "POST",
            &format!("{}{path}", self.url("loan ")),
            &headers,
            body.to_string().as_bytes(),
        )
    }

    fn readiness(&self) -> Value {
        let answer = request("GET", &format!("{}/readyz", self.url("admin ")), &[], b"");
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// Ends it by a signal, as Ctrl-C (INT) or the end of a terminal (HUP) does; gives its exit code.
    fn end(mut self, name: &str) -> Option<i32> {
        signal(self.child.id(), name);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SOURCE: &str = "src/lib.rs";
const TIMEOUT: &str = "from_secs(15 * 60)";
const TIMEOUT_CHANGED: &str = "from_secs(60)";

#[test]
fn the_rules_that_run_follow_the_sources() {
    let project = Project::new();
    let mut dev = Dev::start(&project, &[]);
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
    dev.until("done in");
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
        let mut dev = Dev::start(&project, arguments);
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
    let mut dev = Dev::start(&project, &[]);
    dev.until("the component does not build");
    dev.until("nothing runs yet");
    project.edit(SOURCE, "fn money(,", "fn money(");
    dev.until("ready: the sources are watched");
    assert_eq!(dev.end("INT"), Some(0));

    // The end of the terminal while nothing runs, in the middle of a build.
    project.edit(SOURCE, "fn money(", "fn money(,");
    let mut dev = Dev::start(&project, &[]);
    dev.until("$ cargo build");
    assert_eq!(dev.end("HUP"), Some(0));
}
