//! The compiler process: this program, started by a host to compile one component.
//!
//! It reads the component from standard input and answers on standard output: a letter for the kind
//! of answer, then the machine code or an error.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::Engine;

use super::CompileError;
use crate::base::machine;
use crate::plugin::component::COMPONENT_BYTES;
use crate::plugin::engine;
use crate::plugin::reservation::Reservation;
use crate::plugin::world::{self, Misfit};

/// The argument that makes the program a compiler. It is for hosts, not for people.
pub const COMMAND: &str = "compile-component";

/// Most bytes of an answer: several times the size of the largest component.
pub(super) const ANSWER_BYTES: u64 = 2 << 30;

/// First byte of an answer.
const CODE: u8 = b'C';
const WORLD: u8 = b'W';
const INVALID: u8 = b'I';
const MACHINE: u8 = b'M';

/// Compiles the component on standard input, with these arguments. Exits with 0 if it has answered.
#[must_use]
pub fn run(arguments: &[String]) -> ExitCode {
    let [memory_bytes, reservation, threads, data_bytes] = arguments else {
        return ExitCode::FAILURE;
    };
    let (Ok(memory_bytes), Some(reservation), Ok(threads), Ok(data_bytes)) = (
        memory_bytes.parse(),
        Reservation::of_word(reservation),
        threads.parse(),
        data_bytes.parse(),
    ) else {
        return ExitCode::FAILURE;
    };
    // A killed host can't end this process, so the kernel must.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    limit_memory(data_bytes);
    let answer = match compile_input(memory_bytes, reservation, threads) {
        Ok(code) => [&[CODE][..], &code].concat(),
        Err(error) => {
            let (letter, text) = match error {
                CompileError::World(text) => (WORLD, text),
                CompileError::Machine(text) => (MACHINE, text),
                CompileError::Invalid(text) | CompileError::TooMuch(text) => (INVALID, text),
                CompileError::Stopped => (INVALID, String::new()),
            };
            [&[letter][..], text.as_bytes()].concat()
        }
    };
    let mut out = io::stdout();
    match out.write_all(&answer).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Limits the memory of this process, and makes the system kill it before the host if memory runs
/// out. Not all systems enforce that, so the host monitors the memory too.
fn limit_memory(data_bytes: u64) {
    let before = getrlimit(Resource::Data);
    let limit = |old: Option<u64>| Some(old.map_or(data_bytes, |old| old.min(data_bytes)));
    let limits = Rlimit {
        current: limit(before.current),
        maximum: limit(before.maximum),
    };
    let _ = setrlimit(Resource::Data, limits);
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

fn compile_input(
    memory_bytes: usize,
    reservation: Reservation,
    threads: usize,
) -> Result<Vec<u8>, CompileError> {
    let system = |error: io::Error| CompileError::Machine(error.to_string());
    let mut bytes = Vec::new();
    (io::stdin().take(COMPONENT_BYTES).read_to_end(&mut bytes)).map_err(system)?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| CompileError::Machine(format!("threads: {error}")))?;
    world::check(&bytes).map_err(|misfit| match misfit {
        Misfit::Invalid(reason) => CompileError::Invalid(reason),
        Misfit::World(reason) => CompileError::World(reason),
    })?;
    let engine = engine::engine(memory_bytes, reservation).map_err(|error| failed(&error))?;
    compile(&engine, &bytes)
}

/// Compiles in this process.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
    engine
        .precompile_component(bytes)
        .map_err(|error| failed(&error))
}

fn failed(error: &wasmtime::Error) -> CompileError {
    match error.chain().find_map(machine::shortage_in) {
        Some(lack) => CompileError::Machine(lack),
        None => CompileError::Invalid(format!("{error:#}")),
    }
}

/// The code in an answer.
///
/// # Errors
/// The error in the answer.
pub(super) fn understand(mut answer: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let text = |rest: &[u8]| String::from_utf8_lossy(rest).into_owned();
    match answer.split_first() {
        Some((&CODE, _)) => {
            answer.remove(0);
            Ok(answer)
        }
        Some((&WORLD, rest)) => Err(CompileError::World(text(rest))),
        Some((&MACHINE, rest)) => Err(CompileError::Machine(text(rest))),
        Some((&INVALID, rest)) => Err(CompileError::Invalid(text(rest))),
        _ => Err(CompileError::Invalid("the compiler gave no answer".into())),
    }
}
