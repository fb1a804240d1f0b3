//! Whoever reads the log, or standard output, stands still: nothing waits for that.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::expect::until;
use crate::support::{Host, PATIENCE, Start, request, saga, signal};

/// `O_NONBLOCK` on Linux.
const DOES_NOT_BLOCK: i32 = 0o4000;

/// A pipe that is full, and that nobody reads until the test does.
struct Full {
    path: PathBuf,
    /// Both ends, so that it stays open.
    ends: File,
}

impl Full {
    fn new(directory: &Path, name: &str) -> Self {
        let path = directory.join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let mut ends = File::options()
            .read(true)
            .write(true)
            .custom_flags(DOES_NOT_BLOCK)
            .open(&path)
            .unwrap();
        for size in [4_096, 1] {
            while ends.write(&vec![b'#'; size]).is_ok() {}
        }
        Self { path, ends }
    }

    /// The end that the host writes to, which blocks.
    fn writer(&self) -> File {
        File::options().write(true).open(&self.path).unwrap()
    }

    /// Reads until this was read.
    fn read_until(&mut self, wanted: &str) -> String {
        let (began, mut read) = (Instant::now(), Vec::new());
        loop {
            let mut bytes = [0; 4_096];
            match self.ends.read(&mut bytes) {
                Ok(count) => read.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
            let text = String::from_utf8_lossy(&read);
            if text.contains(wanted) {
                return text.trim_start_matches('#').to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "`{wanted}` is not in\n{text}");
        }
    }
}

fn start(data: &Path, log: &Full) -> Host {
    let command = Start::new(&["customer"], data)
        .setting("log.level", "debug")
        .program();
    // There is no log to be found: the pipe is this test's to read.
    Host::logging_to(command, log.writer(), data.join("none")).unwrap()
}

fn register(host: &Host) {
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
}

#[test]
fn invariant_11_commands_monitors_and_the_drain_do_not_wait_for_the_reader_of_the_log() {
    let data = tempfile::tempdir().unwrap();
    let log = Full::new(data.path(), "log");
    let host = start(data.path(), &log);
    for _ in 0..10 {
        register(&host);
    }
    let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    assert_eq!(ready.status, 200, "{}", ready.text());
    let asked = Instant::now();
    assert_eq!(host.stop().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(15));
}

#[test]
fn queued_and_last_log_lines_are_written_once_they_are_read() {
    let data = tempfile::tempdir().unwrap();
    let mut log = Full::new(data.path(), "log");
    let host = start(data.path(), &log);
    register(&host);
    let read = log.read_until("decided");
    assert!(read.contains("turn{participant=customer"), "{read}");
    signal(host.id(), "TERM");
    let read = log.read_until("drained");
    assert!(
        read.contains("draining; a second signal ends at once"),
        "{read}"
    );
    assert_eq!(host.wait().code(), Some(0));
}

#[test]
fn a_late_reader_gets_the_reason_of_a_failed_start() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("saga.db")).unwrap();
    let mut log = Full::new(data.path(), "log");
    let mut child = Start::new(&["customer"], data.path())
        .program()
        .stdout(Stdio::null())
        .stderr(log.writer())
        .spawn()
        .unwrap();
    let read = log.read_until("saga.db: is a directory; move it away\n");
    assert!(read.lines().last().unwrap().starts_with("saga: "), "{read}");
    assert_eq!(child.wait().unwrap().code(), Some(73));
}

#[test]
fn a_host_starts_although_nobody_reads_standard_output() {
    let data = tempfile::tempdir().unwrap();
    let out = Full::new(data.path(), "out");
    // Known beforehand, for nobody reads where it listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut child = Start::new(&["customer"], data.path())
        .port(address.port())
        .program()
        .stdout(out.writer())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the host listens", || TcpStream::connect(address).is_ok());
    // Once it has said where, it takes signals.
    until("it says where it can be asked", || {
        data.path().join("admin.json").exists()
    });
    signal(child.id(), "TERM");
    assert_eq!(ended(&mut child), Some(0));
}

/// The exit code of a program that ends in time.
fn ended(child: &mut Child) -> Option<i32> {
    let asked = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if asked.elapsed() > Duration::from_secs(15) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_ends_although_nobody_reads_its_errors() {
    let data = tempfile::tempdir().unwrap();
    let log = Full::new(data.path(), "log");
    let nowhere = data.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for (arguments, code) in [
        (vec!["run", "--nonsense"], 64),
        (vec!["run", "--plugin", "a=/b", "--set", "x=1"], 64),
        (vec!["config", "--config", nowhere], 64),
        (vec!["ready", "--data", nowhere], 69),
        (vec!["generations", "a", "--data", nowhere], 69),
        (vec!["verify", nowhere], 65),
    ] {
        let mut command = saga();
        command.args(&arguments).stdout(Stdio::null());
        let mut child = command.stderr(log.writer()).spawn().unwrap();
        assert_eq!(ended(&mut child), Some(code), "{arguments:?}");
    }
}
