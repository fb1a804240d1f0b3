//! The program `saga`. Everything is in the library, so that tests and benchmarks can use it.

use std::process::ExitCode;

fn main() -> ExitCode {
    saga_host::program::main(saga_host::app::Rules::Components)
}
