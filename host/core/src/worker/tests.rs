//! An empty host, for tests of the parts of a worker.

use std::sync::Arc;

use super::host::{ActiveRules, Bound, HostTypes, Lane, Room, TakenRecord};
use saga_contract::description::Description;

/// An empty host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nobody {}

impl HostTypes for Nobody {
    type Active = Self;
    type Client = Self;
    type Taken = Self;
    type Over = Self;
    type Since = ();
    type Room = Self;
    type Place = Self;
    type StoreFault = &'static str;
}

impl ActiveRules for Nobody {
    fn generation(&self) -> i64 {
        match *self {}
    }

    fn digest(&self) -> &str {
        match *self {}
    }

    fn description(&self) -> &Description {
        match *self {}
    }

    fn lane(&self, _: &str) -> Option<Lane> {
        match *self {}
    }

    fn dead_letters(&self, _: &Arc<str>) -> Option<Lane> {
        match *self {}
    }
}

impl TakenRecord for Nobody {
    fn is_cancelled(&self) -> bool {
        match *self {}
    }

    fn cancel(&self) {
        match *self {}
    }

    fn may_repeat(&self) -> bool {
        match *self {}
    }

    fn group(&self) -> &str {
        match *self {}
    }

    fn declared_topic(&self) -> &str {
        match *self {}
    }
}

impl Room for Nobody {
    type Place = Self;

    fn take(&self, _: usize, _: usize) -> Result<Self, Bound> {
        match *self {}
    }

    fn has_just_filled(&self) -> bool {
        match *self {}
    }

    fn used(&self) -> (usize, usize) {
        match *self {}
    }
}
