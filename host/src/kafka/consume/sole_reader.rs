//! A consumer reads only while nobody with another store reads in its group: it waits for that before it reads, and looks again
//! after each rebalance.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use tokio_util::sync::CancellationToken;

use super::{Consumer, PATIENCE};
use crate::kafka::group::{self, Readers};
use crate::kafka::health::condition::{Aspect, Condition};

/// How often the brokers are asked in vain who reads in the group.
const UNANSWERED: u32 = 3;

impl Consumer {
    /// Waits until nobody with another store reads in the group; false where `stop` came first.
    pub(super) fn wait_until_alone(&self, stop: &CancellationToken) -> KafkaResult<bool> {
        let assignment = self.client.context();
        let mut unanswered = 0;
        // Who has read here before may just have lost the brokers for as long as this host did, and comes back within so long.
        let patience = if self.is_newcomer() {
            self.parts.settings.group_patience()
        } else {
            Duration::ZERO
        };
        let mut empty_since = None;
        while !stop.is_cancelled() {
            self.serve_events()?;
            let readers = self.readers();
            if !matches!(readers, Readers::OwnOnly) {
                empty_since = None;
            }
            let pause = match readers {
                Readers::NotTold => return Ok(true),
                Readers::OwnOnly => {
                    if empty_since.is_none() && !patience.is_zero() {
                        tracing::info!(
                            group = %self.source.group, ?patience,
                            "nobody reads in this group at the moment; who has read there before is given time to come back"
                        );
                    }
                    if empty_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                        self.parts
                            .conditions
                            .clear(&assignment.subject(Aspect::Client));
                        return Ok(true);
                    }
                    group::AGAIN
                }
                Readers::Unknown(reason) if unanswered < UNANSWERED => {
                    unanswered += 1;
                    tracing::debug!(group = %self.source.group, reason, "the brokers did not say who reads");
                    group::AGAIN
                }
                // One broker of several that is away is enough for it. Records are not held back for that.
                Readers::Unknown(_) => return Ok(true),
                Readers::Others(others) => {
                    assignment.report(Aspect::Client, Condition::GroupShared(others));
                    self.parts.retry
                }
            };
            let until = Instant::now() + pause;
            while !stop.is_cancelled() && Instant::now() < until {
                self.serve_events()?;
                let notify = &assignment.notify;
                notify.wait(notify.count(), PATIENCE.min(pause));
            }
        }
        Ok(false)
    }

    /// Whether others may have read this source for long while this host never did, and could not see them at its start.
    fn is_newcomer(&self) -> bool {
        !self.parts.is_claimed.load(Ordering::Relaxed)
            && !self.parts.settings.allow_split_state
            && !self.client.context().identity().is_known()
    }

    fn readers(&self) -> Readers {
        if self.parts.settings.allow_split_state {
            return Readers::NotTold;
        }
        let identity = self.parts.store.identity();
        group::readers(&self.client, &self.source, identity)
    }

    /// Whether this host may go on after a rebalance.
    pub(super) fn may_go_on(&self) -> bool {
        match self.readers() {
            Readers::OwnOnly | Readers::NotTold | Readers::Unknown(_) => true,
            Readers::Others(others) => group::stays(self.parts.store.identity(), &others),
        }
    }
}
