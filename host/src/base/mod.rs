//! Types that several modules of the host share; they use no other module.

pub mod budget;
pub mod certificate;
pub mod changes;
pub mod clock;
pub mod generation;
pub mod host_name;
pub mod last_observed;
pub mod machine;
pub mod note;
pub mod notify;
pub mod panics;
pub mod printable;
pub mod secret;
pub mod session;
pub mod stop;
