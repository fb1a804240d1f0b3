//! The program under test, started on the components that `make fixtures` has built.
//!
//! The test binaries `it`, `kafka` and `api` share this folder, as `crate::support` and its neighbours. What is not
//! bound to this crate's program is in `saga-testkit`.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use saga_testkit::host::Launch;
use saga_testkit::host::launch::program;

pub use saga_testkit::blocking::{Host, PATIENCE, Response, output, request, signal, try_request};

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
    program(Path::new(env!("CARGO_BIN_EXE_saga")))
}

/// How a host is started.
pub struct Start(Launch);

impl Start {
    /// With these participants (components of the same name), each on a free port, and this data directory.
    pub fn new(participants: &[&str], data: &Path) -> Self {
        let launch = Launch::new(Path::new(env!("CARGO_BIN_EXE_saga")), data);
        let launch = participants.iter().fold(launch, |launch, name| {
            launch.participant(name, &component(name), 0)
        });
        Self(launch)
    }

    /// With its only participant on this port.
    pub fn port(mut self, port: u16) -> Self {
        let [only] = &mut self.0.participants[..] else {
            panic!("one participant has a port");
        };
        only.port = port;
        self
    }

    /// With a setting in the environment: `store.max_bytes`.
    pub fn setting(self, path: &str, value: impl ToString) -> Self {
        Self(self.0.setting(path, value))
    }

    /// With further arguments.
    pub fn arguments(self, arguments: &[&str]) -> Self {
        Self(self.0.arguments(arguments))
    }

    /// The program with its arguments, for tests that start it themselves.
    pub fn program(&self) -> Command {
        std::fs::create_dir_all(&self.0.data).unwrap();
        share_compiled_code(&self.0.data);
        self.0.command()
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Host {
        Host::from_command(self.program(), &self.0.data)
    }

    /// Starts it and stops it, so that its store is there.
    pub fn run_once(&self) {
        assert!(self.start().stop().success());
    }

    /// Starts it and does not wait; what it says is dropped.
    pub fn spawn_silent(&self) -> Child {
        let mut program = self.program();
        program.stdin(Stdio::null()).stdout(Stdio::null());
        program.stderr(Stdio::null()).spawn().unwrap()
    }

    /// The program with its arguments, after this command of a shell has taken effect on the process.
    pub fn after(&self, shell: &str) -> Command {
        let program = self.program();
        let mut command = Command::new("bash");
        command
            .args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Starts it, expecting that it ends by itself; gives its status and what it said on standard error.
    pub fn fail(&self) -> (ExitStatus, String) {
        let child = self
            .0
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
pub fn share_compiled_code(data: &Path) {
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
