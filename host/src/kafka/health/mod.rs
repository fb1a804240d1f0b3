//! The cluster's health, as clients meet it.

pub(crate) mod advice;
pub(crate) mod conditions;
pub(crate) mod liveness;
pub(crate) mod probe;
pub(crate) mod supervisor;
