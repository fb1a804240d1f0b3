//! Starting the program, talking to it, waiting for what it does.
//!
//! This folder is shared by the test binaries `it` and `kafka`, each of which compiles what it needs of it, as
//! `crate::support` and its neighbours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything. A test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The component of this name, as `make fixtures` builds it.
pub fn component(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let path = target
        .join("wasm32-wasip2/release")
        .join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: run `make fixtures`",
        path.display()
    );
    path
}

/// The program, to be given arguments.
pub fn saga() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saga"));
    // Settings of whoever runs the tests are not the test's.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SAGA__") {
            command.env_remove(name);
        }
    }
    command
}

/// A host that runs. It is killed when it is dropped.
pub struct Host {
    child: Child,
    urls: Vec<(String, String)>,
    admin: Option<String>,
    log: PathBuf,
}

/// How a host is started.
pub struct Start {
    participants: Vec<String>,
    port: u16,
    data: PathBuf,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
}

impl Start {
    /// With these participants (components of the same name), each on a free port, and this data directory.
    pub fn new(participants: &[&str], data: &Path) -> Self {
        Self {
            participants: participants.iter().map(|name| (*name).to_owned()).collect(),
            port: 0,
            data: data.to_owned(),
            arguments: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// With its only participant on this port.
    #[allow(dead_code, reason = "one of the test binaries has no need of it")]
    pub fn port(self, port: u16) -> Self {
        assert_eq!(self.participants.len(), 1);
        Self { port, ..self }
    }

    /// With a setting in the environment: `store.max_bytes`.
    pub fn setting(mut self, path: &str, value: impl ToString) -> Self {
        let name = format!("SAGA__{}", path.to_uppercase().replace('.', "__"));
        self.settings.push((name, value.to_string()));
        self
    }

    /// With further arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    fn command(&self) -> Command {
        let mut command = saga();
        command.arg("run").arg("--data").arg(&self.data);
        for name in &self.participants {
            command
                .arg("--plugin")
                .arg(format!("{name}={}", component(name).display()));
            command
                .arg("--listen")
                .arg(format!("{name}=127.0.0.1:{}", self.port));
        }
        command
            .args(&self.arguments)
            .envs(self.settings.iter().cloned());
        command
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Host {
        Host::from_command(self.program(), &self.data)
    }

    /// Starts it, expecting that it ends by itself; gives its status and what it said on standard error.
    pub fn fail(&self) -> (ExitStatus, String) {
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        output(child)
    }
}

/// Lets all tests share one cache of compiled code, with its key: compiling takes longer than most of them.
fn share_compiled_code(data: &Path) {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code");
    let _ = std::fs::DirBuilder::new().mode(0o700).create(&shared);
    // At a later start both are there already.
    let _ = std::os::unix::fs::symlink(shared, data.join("code"));
    let key = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(data.join("code.key"));
    if let Ok(mut key) = key {
        key.write_all(&[7; 32]).unwrap();
    }
}

/// Waits for a program to end by itself; gives its status and what it said on standard error.
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

/// Sends a signal to a process that this test started.
pub fn signal(id: u32, name: &str) {
    Command::new("kill")
        .arg(format!("-{name}"))
        .arg(id.to_string())
        .status()
        .unwrap();
}

impl Host {
    /// Starts the program with these arguments and waits until it is ready. Its log goes to this directory.
    pub fn from_command(command: Command, directory: &Path) -> Self {
        Self::try_from_command(command, directory)
            .unwrap_or_else(|log| panic!("the host was not ready:\n{log}"))
    }

    /// The same, where it may end before it is ready: then this gives its log.
    pub fn try_from_command(command: Command, directory: &Path) -> Result<Self, String> {
        let log = directory.join("log.txt");
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        Self::logging_to(command, stderr, log)
    }

    /// The same with this as its standard error; what is found at `log` is its log.
    pub fn logging_to(
        mut command: Command,
        stderr: impl Into<Stdio>,
        log: PathBuf,
    ) -> Result<Self, String> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let (mut urls, mut admin) = (Vec::new(), None);
        let stdout = child.stdout.take().unwrap();
        let (give, take) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = give.send(line);
            }
        });
        loop {
            let line = match take.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(_) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(std::fs::read_to_string(&log).unwrap_or_default());
                }
            };
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["ready"] => break,
                ["admin", url] => admin = Some(url.to_owned()),
                ["listening", name, url] => urls.push((name.to_owned(), url.to_owned())),
                _ => panic!("the host said on standard output: {line}"),
            }
        }
        Ok(Self {
            child,
            urls,
            admin,
            log,
        })
    }

    /// Base URL of a participant.
    pub fn url(&self, name: &str) -> &str {
        &self
            .urls
            .iter()
            .find(|(participant, _)| participant == name)
            .expect("the participant runs")
            .1
    }

    /// URL of the admin interface.
    pub fn admin(&self) -> &str {
        self.admin
            .as_deref()
            .expect("the admin interface is served")
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

    /// POSTs a JSON body.
    pub fn post(&self, participant: &str, path: &str, body: &Value) -> Response {
        self.send(participant, "POST", path, &body.to_string())
    }

    /// GETs.
    pub fn get(&self, participant: &str, path: &str) -> Response {
        request("GET", &format!("{}{path}", self.url(participant)), &[], b"")
    }

    /// Asks again until the answer is as wanted.
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

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far, earlier starts on the same data directory included.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Where its log is.
    #[allow(dead_code, reason = "one of the test binaries has no need of it")]
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// Waits until its log says something.
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

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(self) -> ExitStatus {
        signal(self.child.id(), "TERM");
        self.wait()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends one request on a connection of its own. A body is announced as JSON, unless the headers say otherwise.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    try_request(method, url, headers, body)
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// The same, where the connection may break.
pub fn try_request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Response> {
    let rest = url.strip_prefix("http://").expect("a URL");
    let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_type = headers.iter().any(|(name, _)| *name == "content-type");
    if !has_type && (!body.is_empty() || method == "POST") {
        head.push_str("content-type: application/json\r\n");
    }
    let has_length = headers.iter().any(|(name, _)| *name == "content-length");
    if !has_length && (!body.is_empty() || method == "POST") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A server may answer and close before it has read a body that is too large.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer)
        && answer.is_empty()
    {
        return Err(error);
    }
    parse(&answer).ok_or_else(|| std::io::Error::other("the connection broke off"))
}

fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = answer[end + 4..].to_vec();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map(|(_, value)| value.parse::<usize>());
    match length {
        Some(Ok(length)) if length != body.len() => None,
        _ => Some(Response {
            status,
            headers,
            body,
        }),
    }
}

impl Start {
    /// The program with its arguments, for tests that start it themselves.
    pub fn program(&self) -> Command {
        std::fs::create_dir_all(&self.data).unwrap();
        share_compiled_code(&self.data);
        self.command()
    }
}

impl Host {
    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the host does not end:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
