//! Hosts and requests for tests. All calls block, and panic on errors.
//!
//! Must not know: any participant.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};

use crate::host::{self, Log};
use crate::http;
pub use crate::http::Response;

/// Longest wait for anything; beyond it, the test fails.
pub const PATIENCE: Duration = Duration::from_secs(90);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Runs a future to its end, on threads that all tests share.
pub fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    if Handle::try_current().is_err() {
        return RUNTIME.block_on(future);
    }
    // A thread of a runtime may not block on another future.
    std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(future)).join().unwrap())
}

/// Sends one request on a connection of its own. A body has the type JSON, unless the headers say
/// otherwise.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    try_request(method, url, headers, body)
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// The same, but returns the error of a broken connection.
///
/// # Errors
/// There was no complete answer.
pub fn try_request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Response> {
    let request = http::request(method, url, headers, Bytes::copy_from_slice(body));
    block_on(request).map_err(std::io::Error::other)
}

/// A running host. It is killed on drop.
#[derive(Debug)]
pub struct Host(host::Host);

impl Host {
    /// Starts the program with these arguments and waits until it is ready. Its log is `log.txt` in
    /// this directory.
    pub fn from_command(command: Command, directory: &Path) -> Self {
        Self::try_from_command(command, directory)
            .unwrap_or_else(|log| panic!("the host was not ready:\n{log}"))
    }

    /// The same, but returns an error if the host ends before it is ready.
    ///
    /// # Errors
    /// It ended; with its log.
    pub fn try_from_command(command: Command, directory: &Path) -> Result<Self, String> {
        let (log, stderr) = Log::open(&directory.join("log.txt")).unwrap();
        Self::started(command, stderr, log)
    }

    /// The same with this standard error. `log` is the file to read it from.
    ///
    /// # Errors
    /// It ended; with its log.
    pub fn logging_to(
        command: Command,
        stderr: impl Into<Stdio>,
        log: PathBuf,
    ) -> Result<Self, String> {
        Self::started(command, stderr.into(), Log::elsewhere(&log))
    }

    fn started(command: Command, stderr: Stdio, log: Log) -> Result<Self, String> {
        let path = log.path().to_owned();
        let host = host::Host::spawn(command, false, "the host".to_owned(), stderr, log);
        let host = block_on(host).map_err(|_| std::fs::read_to_string(path).unwrap_or_default())?;
        assert_eq!(host.other_lines, [""; 0], "on standard output");
        Ok(Self(host))
    }

    /// Base URL of a participant.
    pub fn url(&self, name: &str) -> &str {
        let url = self.0.service(name).expect("the participant runs");
        url.as_str()
    }

    /// URL of the admin interface.
    pub fn admin(&self) -> &str {
        let url = self
            .0
            .admin
            .as_ref()
            .expect("the admin interface is served");
        url.as_str()
    }

    /// Sends a request with a JSON body to a participant.
    pub fn send(&self, participant: &str, method: &str, path: &str, body: &str) -> Response {
        request(
            method,
            &format!("{}{path}", self.url(participant)),
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
    }

    /// Sends a POST with a JSON body.
    pub fn post(&self, participant: &str, path: &str, body: &Value) -> Response {
        self.send(participant, "POST", path, &body.to_string())
    }

    /// Sends a GET.
    pub fn get(&self, participant: &str, path: &str) -> Response {
        request("GET", &format!("{}{path}", self.url(participant)), &[], b"")
    }

    /// Repeats a GET until the answer is as wanted.
    pub fn get_until(
        &self,
        participant: &str,
        path: &str,
        wanted: impl Fn(&Response) -> bool,
    ) -> Response {
        let start = Instant::now();
        loop {
            let response = self.get(participant, path);
            if wanted(&response) {
                return response;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{path} stays {} {}",
                response.status,
                response.text()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.in_system().pid
    }

    /// Its resident memory, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.0.in_system().resident_memory().unwrap()
    }

    /// Its peak resident memory, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.0.in_system().peak_memory().unwrap()
    }

    /// Size of its address space, in bytes.
    pub fn address_space(&self) -> u64 {
        self.0.in_system().address_space().unwrap()
    }

    /// Its log so far, including earlier starts on the same data directory.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.0.log_path()).unwrap()
    }

    /// Path of its log.
    pub fn log_path(&self) -> PathBuf {
        self.0.log_path().to_owned()
    }

    /// Waits until its log contains a text.
    pub fn log_until(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(
                start.elapsed() < PATIENCE,
                "the log does not say `{text}`:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it, which is like a crash.
    pub fn kill(self) {
        self.0.kill();
        self.wait();
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(self) -> ExitStatus {
        self.0.ask_to_end();
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(self) -> ExitStatus {
        block_on(async { tokio::time::timeout(PATIENCE, self.0.exited()).await })
            .unwrap_or_else(|_| panic!("the host does not end:\n{}", self.log()))
    }
}

/// Waits for a program to end by itself; returns its status and its standard error.
pub fn output(child: Child) -> (ExitStatus, String) {
    let id = child.id();
    let (give, take) = mpsc::channel();
    std::thread::spawn(move || give.send(child.wait_with_output()));
    match take.recv_timeout(PATIENCE) {
        Ok(output) => {
            let output = output.unwrap();
            (output.status, String::from_utf8(output.stderr).unwrap())
        }
        Err(_) => {
            signal(id, "KILL");
            panic!("the program did not end by itself");
        }
    }
}

/// Sends a signal, by its name such as `TERM`, to a process that this test started.
pub fn signal(id: u32, name: &str) {
    Command::new("kill")
        .arg(format!("-{name}"))
        .arg(id.to_string())
        .status()
        .unwrap();
}
