//! The program `saga`. Everything is in the library, so that tests and benchmarks can use it.

use std::process::ExitCode;

/// What one thread allocates, another one frees: records, entries and answers go from thread to thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    saga_host::cli::main(saga_host::app::RuleSource::Components)
}
