//! Sole reader of a group: a consumer waits until no other store reads in its group, and checks
//! again after each rebalance.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use tokio_util::sync::CancellationToken;

use super::{Consumer, PATIENCE};
use crate::kafka::group::{self, GroupReaders};
use crate::kafka::health::condition::group_shared;
use crate::kafka::health::conditions::Aspect;

/// Unanswered questions about the group's readers after which reading starts: a single unavailable
/// broker among several is enough for this, and records are not held back for it.
const UNANSWERED: u32 = 3;

impl Consumer {
    /// Waits until no other store reads in the group; false if `stop` came first.
    pub(super) fn wait_until_alone(&mut self, stop: &CancellationToken) -> KafkaResult<bool> {
        let group = self.source.group.clone();
        // An earlier reader may have lost the brokers for as long as this host did, and may come
        // back within this time.
        let patience = match self.is_newcomer() {
            true => self.parts.settings.group_patience(),
            false => Duration::ZERO,
        };
        let (mut unanswered, mut empty_since) = (0, None);
        while !stop.is_cancelled() {
            self.serve_events()?;
            let readers = self.readers();
            if readers != GroupReaders::OwnOnly {
                empty_since = None;
            }
            let pause = match readers {
                GroupReaders::NotTold => return Ok(true),
                GroupReaders::OwnOnly => {
                    if empty_since.is_none() && !patience.is_zero() {
                        tracing::info!(
                            %group, ?patience,
                            "nobody reads in this group at the moment; who has read there before is given time to come back"
                        );
                    }
                    if empty_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                        self.clear(None, Aspect::Client);
                        return Ok(true);
                    }
                    group::AGAIN
                }
                GroupReaders::Unknown(_) if unanswered == UNANSWERED => return Ok(true),
                GroupReaders::Unknown(code) => {
                    unanswered += 1;
                    tracing::debug!(%group, %code, "the brokers did not say who reads");
                    group::AGAIN
                }
                GroupReaders::Others(others) => {
                    let shared = group_shared(&self.source, &others);
                    self.parts.conditions.report(shared);
                    self.parts.retry
                }
            };
            let until = Instant::now() + pause;
            while !stop.is_cancelled() && Instant::now() < until {
                self.serve_events()?;
                let notify = &self.client.context().notify;
                notify.wait(notify.count(), PATIENCE.min(pause));
            }
        }
        Ok(false)
    }

    /// True if others may have read this source for long: this host never has, and could not see
    /// them at its start.
    fn is_newcomer(&self) -> bool {
        !self.parts.is_claimed.load(Ordering::Relaxed)
            && !self.parts.settings.allow_split_state
            && !self.identity.is_known()
    }

    fn readers(&self) -> GroupReaders {
        if self.parts.settings.allow_split_state {
            return GroupReaders::NotTold;
        }
        let identity = self.parts.store.identity();
        group::readers(self.client.client(), &self.source, identity)
    }

    /// True if this host may continue after a rebalance.
    pub(super) fn may_go_on(&self) -> bool {
        match self.readers() {
            GroupReaders::Others(others) => group::stays(self.parts.store.identity(), &others),
            _ => true,
        }
    }
}
