//! Types that several rooms of the host share, and that know none of them.

pub mod budget;
pub mod changes;
pub mod clock;
pub mod generation;
pub mod last_observed;
pub mod machine;
pub mod panics;
pub mod printable;
pub mod secret;
pub mod session;
pub mod signal;
pub mod stop;
