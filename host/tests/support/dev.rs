//! A running `saga dev`, and what it says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use crate::support::{Response, request, signal};

/// Longest wait: the first build compiles all dependencies.
const PATIENCE: Duration = Duration::from_secs(600);

/// Replaces a text that is in a file.
pub fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// A running `saga dev`. It is killed on drop.
pub struct Dev {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    read: usize,
}

impl Dev {
    /// Starts this command, which runs `saga dev` in a project of the participant `loan`.
    pub fn start(dev: &Command, arguments: &[&str]) -> Self {
        // Both streams in one, in order.
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" \"$@\" 2>&1"])
            .arg(dev.get_program());
        command.args(dev.get_args()).args(arguments);
        command.args(["--listen", "loan=127.0.0.1:0"]);
        command.current_dir(dev.get_current_dir().unwrap());
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
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let mut said = all.lock();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self {
            child,
            said,
            reader,
            read: 0,
        }
    }

    /// Waits until it says this after what was awaited before; gives what it said until then.
    pub fn until(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            // Before the look at what it said, which is all then.
            let is_over = self.reader.is_finished();
            let said = self.said.lock().clone();
            if let Some(at) = said[self.read..].find(text) {
                let end = self.read + at + text.len();
                let begin = std::mem::replace(&mut self.read, end);
                return said[begin..end].to_owned();
            }
            let is_over = is_over || start.elapsed() > PATIENCE;
            assert!(!is_over, "it does not say `{text}`:\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The URL that follows a word on a line of its own.
    pub fn url(&self, word: &str) -> String {
        let said = self.said.lock();
        let mut lines = said.lines().filter_map(|line| line.strip_prefix(word));
        let url = lines.find_map(|rest| {
            rest.trim()
                .starts_with("http")
                .then(|| rest.trim().to_owned())
        });
        url.unwrap_or_else(|| panic!("no URL of {word}:\n{said}"))
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        let headers = [("content-type", "application/json")];
        request(
            "POST",
            &format!("{}{path}", self.url("loan ")),
            &headers,
            body.to_string().as_bytes(),
        )
    }

    pub fn readiness(&self) -> Value {
        let answer = request("GET", &format!("{}/readyz", self.url("admin ")), &[], b"");
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// Ends it by a signal, as Ctrl-C (INT) or the end of a terminal (HUP) does; gives its exit code.
    pub fn end(mut self, name: &str) -> Option<i32> {
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
