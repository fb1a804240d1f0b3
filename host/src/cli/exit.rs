//! Exit codes after sysexits.h, each with its meaning: the one table that `saga --help` prints and
//! `docs/operations.md` repeats.

macro_rules! exit_codes {
    ($(#[doc = $meaning:literal] $name:ident = $code:literal;)*) => {
        $(#[doc = $meaning] pub(crate) const $name: u8 = $code;)*

        /// All of them with their meanings, but for those of signals.
        const TABLE: &[(u8, &str)] = &[$(($code, $meaning)),*];
    };
}

exit_codes! {
    /// ended as asked
    DONE = 0;
    /// decisions would change, fail or can't be read; sagas wait (`saga stuck`); a store is wrong
    FOUND = 1;
    /// bad settings, a bad command line, an unknown participant or generation
    USAGE = 64;
    /// a component, build, test or record is refused; too many changed decisions; a redrive failed
    COMPONENT = 65;
    /// an address can't be used; a group has another reader; no host, log or tool is there
    UNAVAILABLE = 69;
    /// a fault of the host itself
    INTERNAL = 70;
    /// the store can't be used, or its files went away; a backup or a project can't be made
    STORE = 73;
    /// the host can't do it now, is not ready, or did not end its drain in time; try again
    TRY_AGAIN = 75;
    /// the host's token is missing or wrong
    NO_PERMISSION = 77;
}

/// Base of the exit code after a second signal; the signal's number is added, as shells do.
pub(crate) const SIGNAL: i32 = 128;

const BY_SIGNAL: [(u8, &str); 2] = [
    (
        130,
        "ended at once by a second SIGINT, or by the first one during a start",
    ),
    (
        143,
        "ended at once by a second SIGTERM, or by the first one during a start",
    ),
];

/// The table, one line per code.
pub(crate) fn table() -> String {
    let rows = TABLE.iter().chain(&BY_SIGNAL);
    rows.map(|(code, meaning)| format!("{code:>4}  {}\n", meaning.trim()))
        .collect()
}
