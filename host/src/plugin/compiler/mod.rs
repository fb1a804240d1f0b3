//! Compilation in a separate process, with limits of time and memory.
//!
//! A component is foreign: a file of 5 MB can cost a compiler minutes and gigabytes. So the program
//! starts itself again as a compiler, passes the component through a pipe, reads the machine code
//! from another one, and kills the process if it exceeds a limit or is not needed any more. Only
//! the host writes the cache: the compiler knows neither the cache nor its key.
//!
//! # Layout
//!
//! - this file: the host's side
//! - [`child`]: the compiler process, and its answers
//! - `process`: a process that is killed on drop

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

use self::process::CompilerProcess;
use super::reservation::Reservation;
use crate::base::machine;

/// Interval between checks of a compiler process.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes kept of a compiler's standard error.
const SAID: u64 = 4 << 10;

/// Least memory per compiler thread, in bytes: the allocator takes 32 MiB of it at once.
const THREAD: u64 = 64 << 20;

/// This program, even if its file was replaced meanwhile.
const SELF: &str = "/proc/self/exe";

/// Limits of one compilation.
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
        // A component of Rust rules takes a second and 60 MB; one with an interpreter many times
        // that.
        Self {
            seconds: 120,
            memory_bytes: 2 << 30,
        }
    }
}

/// The reason why there is no code.
#[derive(Debug)]
pub enum CompileError {
    /// Of another world, or of another contract.
    World(String),
    /// Damaged, or crashes the compiler.
    Invalid(String),
    /// Exceeds a limit.
    TooMuch(String),
    /// The machine is out of this resource.
    Machine(String),
    /// The host is stopping.
    Stopped,
}

/// Compiles components; clones share its state.
#[derive(Clone)]
pub struct Compiler(Option<Arc<SeparateProcess>>);

/// A compiler in a separate process.
struct SeparateProcess {
    program: PathBuf,
    limits: CompileLimits,
    memory_bytes: usize,
    reservation: Reservation,
    is_stopped: AtomicBool,
}

impl Compiler {
    /// A compiler in this process, without limits: for tests, which know their input.
    #[must_use]
    pub fn here() -> Self {
        Self(None)
    }

    /// A compiler in a separate process: this program, for an engine with this memory limit and
    /// this reservation of address space per instance.
    ///
    /// # Errors
    /// If the path of the program is unknown.
    pub fn apart(
        limits: CompileLimits,
        memory_bytes: usize,
        reservation: Reservation,
    ) -> io::Result<Self> {
        let program = match Path::new(SELF).exists() {
            true => PathBuf::from(SELF),
            false => std::env::current_exe()?,
        };
        Ok(Self(Some(Arc::new(SeparateProcess {
            program,
            limits,
            memory_bytes,
            reservation,
            is_stopped: AtomicBool::new(false),
        }))))
    }

    /// Aborts a compilation in flight, and compiles nothing more.
    pub fn stop(&self) {
        if let Some(apart) = &self.0 {
            apart.is_stopped.store(true, Ordering::Release);
        }
    }

    /// The machine code of a component.
    ///
    /// # Errors
    /// The reason why there is none.
    pub(super) fn code(&self, engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        match &self.0 {
            None => child::compile(engine, bytes),
            Some(apart) => apart.code(bytes),
        }
    }
}

impl SeparateProcess {
    fn code(&self, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        if self.is_stopped.load(Ordering::Acquire) {
            return Err(CompileError::Stopped);
        }
        let mut process =
            CompilerProcess::start(&mut self.command()).map_err(|error| lack(&error))?;
        let (stdin, stdout, stderr) = process.pipes().map_err(|error| lack(&error))?;
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            let start = |error: io::Error| lack(&error);
            let writing = named(scope, move || write(stdin, bytes)).map_err(start)?;
            let saying = named(scope, move || said(stderr)).map_err(start)?;
            let reading = named(scope, move || {
                let read = read(stdout);
                // If sending fails, the receiver has gone.
                let _ = done.send(());
                read
            })
            .map_err(start)?;
            let ended = self.watch(&mut process, &is_done);
            // The pipes end with the process.
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

    /// Waits for the answer, within the limits.
    fn watch(
        &self,
        process: &mut CompilerProcess,
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

    /// The error of a compiler that ended without an answer.
    fn broke(&self, status: io::Result<ExitStatus>, said: &str) -> CompileError {
        // Rust prints this text and aborts. Unless this process itself is limited, the compiler's
        // own limit was the cause.
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
            // Between two checks it may take as much again, and no more.
            .arg(self.limits.memory_bytes.saturating_mul(2).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the host, which kills the compiler.
            .process_group(0)
            // It needs no settings and gets no secrets.
            .env_clear()
            // The allocator would reserve a gigabyte at once, and never return memory.
            .env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1");
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// Number of compiler threads: that of the current rayon pool, if there is one, as far as
    /// memory allows.
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

/// Writes the component. If the compiler ends before it has read all, its own answer has the
/// reason.
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
        // A full pipe would block the process.
        let _ = io::copy(&mut stderr.into_inner(), &mut io::sink());
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A shortage of the machine, or another error of the system.
fn lack(error: &io::Error) -> CompileError {
    CompileError::Machine(
        machine::shortage_in(error).unwrap_or_else(|| format!("a process that compiles: {error}")),
    )
}

fn broke(status: io::Result<ExitStatus>, said: &str) -> CompileError {
    use std::os::unix::process::ExitStatusExt as _;
    let status = match status {
        Ok(status) => status,
        Err(error) => return lack(&error),
    };
    // Rust prints this text and aborts.
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
