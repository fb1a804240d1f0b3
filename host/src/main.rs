//! The program `saga`. Everything is in the library, so that tests and benchmarks can use it.

use std::process::ExitCode;

/// Records, entries and answers are freed by other threads than those that allocated them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    saga_host::cli::main(saga_host::app::RuleSource::Components)
}
