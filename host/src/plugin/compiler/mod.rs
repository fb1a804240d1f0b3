//! Compiling in a process of its own, with limits of time and memory.
//!
//! A component is foreign: a file of 5 MB can take a compiler minutes and gigabytes. So the program starts itself again as a
//! compiler, hands it the component through a pipe, takes the machine code from another one, and ends it where it takes too much
//! or is not wanted any more. The code goes to the cache by way of the host alone: the compiler knows neither the cache nor its key.
//!
//! # Layout
//!
//! - this file: the host's side
//! - [`child`]: the compiler's side, and what it answers
//! - `process`: a process that ends with its handle

pub mod child;
mod process;

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use self::process::Process;
use super::reservation::Reservation;
use crate::base::machine;

/// How often a compiler is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes that are kept of what a compiler says on standard error.
const SAID: u64 = 4 << 10;

/// Memory for each thread of a compiler at least, in bytes: 32 MiB of it is what the allocator takes for one at once.
const THREAD: u64 = 64 << 20;

/// This program, also where its file was replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompileLimits {
    /// Seconds.
    #[schemars(range(min = 1, max = 3_600))]
    pub seconds: u64,
    /// Bytes of memory.
    #[schemars(range(min = 64 << 20, max = 1_i64 << 40))]
    pub memory_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        // A component of Rust rules takes a second and 60 MB; one with an interpreter in it many times that.
        Self {
            seconds: 120,
            memory_bytes: 2 << 30,
        }
    }
}

/// Why there is no code.
#[derive(Debug)]
pub enum CompileError {
    /// It is not of this host's world, or of another contract.
    World(String),
    /// It is damaged, or breaks the compiler.
    Invalid(String),
    /// It takes more than it may.
    TooMuch(String),
    /// What the machine lacks.
    Machine(String),
    /// The host is to end.
    Stopped,
}

/// Compiles components. Clones are the same.
#[derive(Clone)]
pub struct Compiler(Option<Arc<OfItsOwn>>);

/// A compiler that is a process of its own.
struct OfItsOwn {
    program: PathBuf,
    limits: CompileLimits,
    memory_bytes: usize,
    reservation: Reservation,
    is_stopped: AtomicBool,
}

impl Compiler {
    /// A compiler in this process, without limits: for tests, which know what they compile.
    #[must_use]
    pub fn here() -> Self {
        Self(None)
    }

    /// A compiler in a process of its own: this program, for an engine whose instances have so much memory and reserve so much
    /// address space.
    ///
    /// # Errors
    /// That the program does not know itself.
    pub fn apart(
        limits: CompileLimits,
        memory_bytes: usize,
        reservation: Reservation,
    ) -> io::Result<Self> {
        let program = match Path::new(SELF).exists() {
            true => PathBuf::from(SELF),
            false => std::env::current_exe()?,
        };
        Ok(Self(Some(Arc::new(OfItsOwn {
            program,
            limits,
            memory_bytes,
            reservation,
            is_stopped: AtomicBool::new(false),
        }))))
    }

    /// Ends what is compiled now, and compiles nothing more.
    pub fn stop(&self) {
        if let Some(apart) = &self.0 {
            apart.is_stopped.store(true, Ordering::Release);
        }
    }

    /// The machine code of a component.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn code(&self, engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        match &self.0 {
            None => child::compile(engine, bytes),
            Some(apart) => apart.code(bytes),
        }
    }
}

impl OfItsOwn {
    fn code(&self, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        if self.is_stopped.load(Ordering::Acquire) {
            return Err(CompileError::Stopped);
        }
        let mut process = Process::start(&mut self.command()).map_err(|error| lack(&error))?;
        let (stdin, stdout, stderr) = process.pipes().map_err(|error| lack(&error))?;
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            let start = |error: io::Error| lack(&error);
            let writing = named(scope, move || write(stdin, bytes)).map_err(start)?;
            let saying = named(scope, move || said(stderr)).map_err(start)?;
            let reading = named(scope, move || {
                let read = read(stdout);
                // Whoever waits has gone where this fails.
                let _ = done.send(());
                read
            })
            .map_err(start)?;
            let ended = self.watch(&mut process, &is_done);
            // The pipes end with it.
            let status = match ended {
                Ok(()) => process.wait(),
                Err(_) => process.kill(),
            };
            let written = finish(writing).unwrap_or(Ok(()));
            let answer = finish(reading).unwrap_or_else(|| Err(io::Error::other("a thread broke")));
            let said = finish(saying).unwrap_or_default();
            ended?;
            if !status.as_ref().is_ok_and(ExitStatus::success) {
                return Err(self.broke(status, &said));
            }
            let answer = written.and(answer).map_err(|error| lack(&error))?;
            child::understand(answer)
        })
    }

    /// Waits until it has answered, as long as it may go on.
    fn watch(
        &self,
        process: &mut Process,
        is_done: &mpsc::Receiver<()>,
    ) -> Result<(), CompileError> {
        let began = Instant::now();
        let CompileLimits {
            seconds,
            memory_bytes,
        } = self.limits;
        loop {
            match is_done.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.is_stopped.load(Ordering::Acquire) {
                return Err(CompileError::Stopped);
            }
            if began.elapsed() >= Duration::from_secs(seconds) {
                return Err(CompileError::TooMuch(format!(
                    "compiling it takes longer than {seconds} s (`compile.seconds`)"
                )));
            }
            if process.memory().is_some_and(|bytes| bytes > memory_bytes) {
                return Err(self.too_much_memory());
            }
        }
    }

    fn too_much_memory(&self) -> CompileError {
        let memory_bytes = self.limits.memory_bytes;
        CompileError::TooMuch(format!(
            "compiling it takes more than {memory_bytes} bytes of memory (`compile.memory_bytes`)"
        ))
    }

    /// Why a compiler ended that did not answer.
    fn broke(&self, status: io::Result<ExitStatus>, said: &str) -> CompileError {
        // Rust says so, and aborts. Where memory of this process is not limited, the limit was the compiler's own.
        let has_none = |resource| getrlimit(resource).current.is_none();
        let is_out = status.is_ok() && said.contains("memory allocation of ");
        match is_out && has_none(Resource::As) && has_none(Resource::Data) {
            true => self.too_much_memory(),
            false => broke(status, said),
        }
    }

    fn command(&self) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(&self.program);
        command
            .arg(child::COMMAND)
            .arg(self.memory_bytes.to_string())
            .arg(self.reservation.word())
            .arg(self.threads().to_string())
            // Between two looks it may take as much again, and no more.
            .arg(self.limits.memory_bytes.saturating_mul(2).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the host, which ends the compiler.
            .process_group(0)
            // It needs no settings and knows no secrets.
            .env_clear()
            // The allocator would take a gigabyte at once, and keep what it has had.
            .env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1");
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// Threads that compile: those of the pool that this is called in, where it is called in one, as far as there is memory for them.
    fn threads(&self) -> usize {
        let threads = match rayon::current_thread_index() {
            Some(_) => rayon::current_num_threads(),
            None => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        let most = usize::try_from(self.limits.memory_bytes / THREAD).unwrap_or(usize::MAX);
        threads.min(most).max(1)
    }
}

fn named<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    thread::Builder::new()
        .name("compile".into())
        .spawn_scoped(scope, work)
}

fn finish<T>(thread: ScopedJoinHandle<'_, T>) -> Option<T> {
    thread.join().ok()
}

/// Hands the component over. A compiler that ends before it has read all says why by itself.
fn write(mut stdin: ChildStdin, bytes: &[u8]) -> io::Result<()> {
    match stdin.write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn read(stdout: ChildStdout) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stdout.take(child::ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(answer)
}

fn said(stderr: ChildStderr) -> String {
    let mut text = Vec::new();
    let mut stderr = stderr.take(SAID);
    if stderr.read_to_end(&mut text).is_ok() {
        // A full pipe would hold it up.
        let _ = io::copy(&mut stderr.into_inner(), &mut io::sink());
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// What the machine lacks, or what else the system said.
fn lack(error: &io::Error) -> CompileError {
    CompileError::Machine(
        machine::lack_in(error).unwrap_or_else(|| format!("a process that compiles: {error}")),
    )
}

fn broke(status: io::Result<ExitStatus>, said: &str) -> CompileError {
    use std::os::unix::process::ExitStatusExt as _;
    let status = match status {
        Ok(status) => status,
        Err(error) => return lack(&error),
    };
    // Rust says so, and aborts.
    if said.contains("memory allocation of ") {
        return CompileError::Machine("memory: the compiler got none".into());
    }
    const INTERRUPT: i32 = 2;
    const KILL: i32 = 9;
    const TERMINATE: i32 = 15;
    match status.signal() {
        Some(INTERRUPT | TERMINATE) => CompileError::Stopped,
        Some(KILL) => CompileError::Machine("memory: the system ended the compiler".into()),
        _ => {
            let first = said.lines().find(|line| !line.trim().is_empty());
            CompileError::Invalid(format!(
                "breaks the compiler ({status}){}",
                first.map(|line| format!(": {line}")).unwrap_or_default()
            ))
        }
    }
}
