//! Uncaught panics: they end the process, and are reported without waiting for the reader of the log.

use std::panic::PanicHookInfo;

use crate::base::panics;

/// From now on a panic that is not caught ends the process with this exit code.
pub fn die_on_panic(code: u8) {
    std::panic::set_hook(Box::new(move |panic| {
        if !panics::is_caught_here() {
            // The standard library's hook would block on standard error and print foreign text
            // unescaped.
            super::complain(&told(panic));
            super::exit(i32::from(code));
        }
    }));
}

/// The text of a panic, with a backtrace if RUST_BACKTRACE is set.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("<unnamed>");
    let place = (panic.location()).map_or_else(String::new, |place| format!(" at {place}"));
    let said = panic.payload_as_str().unwrap_or("a value that is no text");
    let calls = std::backtrace::Backtrace::capture();
    let calls = match calls.status() {
        std::backtrace::BacktraceStatus::Captured => format!("\n{calls}"),
        _ => String::new(),
    };
    format!("thread '{thread}' panicked{place}: {said}{calls}")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "panics are what is tested"
)]
mod tests {
    use super::*;
    use crate::base::panics::caught;

    /// Tells the test that it is the child process, whose end is looked at.
    const CHILD: &str = "SAGA_TEST_PANIC_CHILD";

    #[test]
    fn a_caught_panic_is_survived_and_any_other_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            die_on_panic(70);
            assert_eq!(caught(|| panic!("on what a stranger sent")), None::<()>);
            println!("survived");
            panic!("a bug");
        }
        let name =
            "logging::panics::tests::a_caught_panic_is_survived_and_any_other_ends_the_process";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("survived"), "{child:?}");
        assert_eq!(child.status.code(), Some(70), "{child:?}");
    }
}
