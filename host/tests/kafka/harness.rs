//! The form of a test, and the report of its failure.
//!
//! Must not know any test.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use crate::cluster::{self, Cluster};

/// A test, and what it needs.
pub struct Test {
    name: &'static str,
    needs: Needs,
}

enum Needs {
    Any(fn(&Cluster)),
    Tools(fn(&Cluster)),
    Own(fn()),
}

/// A test that needs some cluster, which others use at the same time.
pub fn any(name: &'static str, test: fn(&Cluster)) -> Test {
    let needs = Needs::Any(test);
    Test { name, needs }
}

/// The same, with Kafka's own tools.
pub fn tools(name: &'static str, test: fn(&Cluster)) -> Test {
    let needs = Needs::Tools(test);
    Test { name, needs }
}

/// A test that starts brokers of its own.
#[allow(dead_code, reason = "a file of tests may be the first to need it")]
pub fn own(name: &'static str, test: fn()) -> Test {
    let needs = Needs::Own(test);
    Test { name, needs }
}

/// The tests of a module, from their functions: `tests![any: first, second; own: third]`.
macro_rules! tests {
    ($($kind:ident: $($test:ident),+ $(,)?);+ $(;)?) => {
        vec![$($(
            $crate::harness::$kind(concat!(module_path!(), "::", stringify!($test)), $test)
        ),+),+]
    };
}
pub(crate) use tests;

/// Runs the tests that can run here; says which can't.
pub fn run(arguments: &Arguments, tests: impl Iterator<Item = Test>) -> Conclusion {
    let (mut trials, mut left_out) = (Vec::new(), Vec::new());
    for test in tests {
        let name = test
            .name
            .split_once("::")
            .map_or(test.name, |(_, name)| name);
        let body: Box<dyn FnOnce() + Send> = match test.needs {
            Needs::Any(test) => Box::new(move || test(&cluster::shared())),
            Needs::Tools(test) if cluster::has_tools() => {
                Box::new(move || test(&cluster::shared()))
            }
            Needs::Own(test) if !cluster::is_given() => Box::new(test),
            Needs::Tools(_) | Needs::Own(_) => {
                left_out.push(name);
                continue;
            }
        };
        trials.push(Trial::test(name, move || show(body)));
    }
    if !left_out.is_empty() {
        eprintln!(
            "real Kafka: left out, because they need a broker of their own or Kafka's tools (unset KAFKA_BOOTSTRAP, or \
             install a JDK and Maven): {}",
            left_out.join(", ")
        );
    }
    keep_panics();
    libtest_mimic::run(arguments, trials)
}

thread_local! {
    /// The text and the place of this thread's panic.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what a panic says, which is printed at once too: the test may hang before the summary.
fn keep_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without a text");
        let at = panic.location().map(ToString::to_string);
        SAID.set(format!("{}: {text}", at.unwrap_or_default()));
        usual(panic);
    }));
}

/// Runs a test; its failure says where it was.
fn show(test: Box<dyn FnOnce() + Send>) -> Result<(), Failed> {
    catch_unwind(AssertUnwindSafe(test)).map_err(|_| Failed::from(SAID.take()))
}
