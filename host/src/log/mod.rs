//! The embedded log: the committed outbox row is the record.
//!
//! For the hosts of one store, without further installation. There is no broker and no second copy: a
//! consumer reads the outbox by topic, partition and offset, and is notified of commits. The log is
//! as durable as the store, because it is the store. Hosts of one store spread its partitions over
//! them. It is not a network broker: programs that don't use the store need Kafka.
//!
//! # Layout
//!
//! - this file: the transport
//! - [`page`]: pages of a topic's records, for readers that are no consumers
//! - [`append`]: records that no turn has decided

pub mod append;
pub mod page;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::base::notify::Notify;
use crate::base::stop::NotifiedAtStop;
use crate::store::duties::{self, Duty};
use crate::store::{ReadStore, Reader, Store, StoreFault, StoreResult};
use crate::transport::{Delivery, Extent, ReadingStart, Session, Sink, Source, Transport, WINDOW};

/// Records read at once.
const PAGE: usize = 256;

/// Delay before the next read after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// Longest sleep; after it, a missed notification is made up for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The log in the store.
pub struct EmbeddedLog {
    store: Arc<Store>,
    partitions: i32,
}

impl EmbeddedLog {
    /// A log whose topics have this many partitions.
    #[must_use]
    pub fn new(store: Arc<Store>, partitions: i32) -> Self {
        Self {
            store,
            partitions: partitions.max(1),
        }
    }
}

impl Transport for EmbeddedLog {
    fn offset_namespace(&self) -> &'static str {
        "log"
    }

    fn partitions(&self, _topic: &str) -> i32 {
        self.partitions
    }

    fn claim(&self, _: &[Arc<Source>]) -> Result<(), String> {
        // The log is in the store.
        Ok(())
    }

    fn consume(
        &self,
        source: Arc<Source>,
        sink: Arc<dyn Sink>,
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>> {
        let reader = self.store.reader()?;
        // The setting may have been reduced: the other partitions are read all the same.
        let partitions = self.partitions.max(reader.partitions(source.topic_row)?);
        let duties = self.store.duties();
        let (consumer, topic) = (source.consumer.clone(), source.topic.clone());
        let places = (0..partitions).map(|partition| LogPlace {
            partition,
            duty: duties.offer(&duties::reading_of(&consumer, &topic, partition)),
            epoch: None,
            reading: None,
        });
        let consumer = LogConsumer {
            reader,
            store: self.store.clone(),
            source,
            sink,
            partitions: places.collect(),
        };
        let name = format!("log-{}", consumer.source.topic);
        Ok(std::thread::Builder::new()
            .name(name)
            .spawn(move || consumer.run(&stop))?)
    }

    fn publish(
        &self,
        _: Vec<(Arc<str>, i64)>,
        _: CancellationToken,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        Ok(None)
    }

    /// Committed records are published already.
    fn publish_too(&self, _: Vec<(Arc<str>, i64)>) {}

    fn extents(&self, reading: &dyn ReadStore, source: &Source) -> StoreResult<Vec<Extent>> {
        let mut extents = reading.extents(source.topic_row, &source.consumer)?;
        for partition in 0..self.partitions {
            if extents.iter().all(|known| known.partition != partition) {
                extents.push(Extent::new(partition, 0, 0));
            }
        }
        // Of the others, other hosts tell.
        let duties = self.store.duties();
        extents.retain(|one| {
            let duty = duties::reading_of(&source.consumer, &source.topic, one.partition);
            duties.has(&duty)
        });
        Ok(extents)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

struct LogConsumer {
    reader: Reader,
    store: Arc<Store>,
    source: Arc<Source>,
    sink: Arc<dyn Sink>,
    partitions: Vec<LogPlace>,
}

/// A partition, and its open session.
struct LogPlace {
    partition: i32,
    /// One host reads it.
    duty: Duty,
    /// The epoch that its offsets carry; None until it is claimed.
    epoch: Option<i64>,
    reading: Option<(Arc<Session>, i64)>,
}

impl LogConsumer {
    fn run(mut self, stop: &CancellationToken) {
        let notify = self.store.published().clone();
        let _rings = NotifiedAtStop::new(stop, &notify);
        loop {
            let seen = notify.count();
            if stop.is_cancelled() {
                break;
            }
            match self.round(stop, &notify) {
                Ok(true) => {}
                Ok(false) => notify.wait(seen, PATIENCE),
                Err(error) => {
                    let condition = self.store.condition();
                    condition.report("the log can't be read from the store", &fault(&error));
                    pause(stop, &notify);
                }
            }
        }
    }

    /// Delivers the available records, until `stop`; true if there were any.
    fn round(&mut self, stop: &CancellationToken, notify: &Notify) -> anyhow::Result<bool> {
        let mut any = false;
        for place in &mut self.partitions {
            if !place.duty.is_mine() {
                // Records in flight may still be settled, until another host has claimed it.
                (place.reading, place.epoch) = (None, None);
                continue;
            }
            let (session, position) = match place.reading.take() {
                Some(reading) if !reading.0.is_cancelled() => reading,
                ended => {
                    if ended.is_some() && self.store.condition().is_failing() {
                        // The next attempt must wait.
                        pause(stop, notify);
                    }
                    match place.begin(&self.reader, &*self.store, &self.source)? {
                        Some(begun) => begun,
                        None => continue,
                    }
                }
            };
            let room = self.source.readings.room();
            let page = session.room().min(PAGE);
            let topic = (self.source.topic_row, self.source.topic.clone());
            let (session, next) = place.reading.insert((session, position));
            let records = match page {
                0 => Vec::new(),
                _ => self
                    .reader
                    .records_within(&topic, place.partition, position, page, room)?,
            };
            for record in records {
                // The sink may block on each of them.
                if stop.is_cancelled() {
                    return Ok(any);
                }
                any = true;
                *next = record.position.offset + 1;
                self.sink
                    .deliver(Delivery::of(session.clone(), record, None));
            }
        }
        Ok(any)
    }
}

fn fault(error: &anyhow::Error) -> StoreFault {
    match error.downcast_ref::<StoreFault>() {
        Some(fault) => fault.clone(),
        None => StoreFault(error.to_string().into()),
    }
}

/// Waits before the next attempt, or until `stop`, which notifies.
fn pause(stop: &CancellationToken, notify: &Notify) {
    let until = Instant::now() + RETRY;
    loop {
        let seen = notify.count();
        let left = until.saturating_duration_since(Instant::now());
        if stop.is_cancelled() || left.is_zero() {
            return;
        }
        notify.wait(seen, left);
    }
}

impl LogPlace {
    /// Begins to read at the stored offset. None if another host reads the partition by now.
    fn begin(
        &mut self,
        reader: &Reader,
        store: &Store,
        source: &Arc<Source>,
    ) -> anyhow::Result<Option<(Arc<Session>, i64)>> {
        let (consumer, topic, partition) = (&source.consumer, source.topic_row, self.partition);
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => store.claim_partition(consumer, topic, partition)?,
        };
        self.epoch = Some(epoch);
        let next = match reader.place(consumer, topic, partition)? {
            Some(place) if place.epoch != epoch => return Ok(None),
            Some(place) => place.next,
            None => {
                // Stored, so that nothing is pruned before it is read for the first time.
                store.write_offset(consumer, topic, partition, 0)?;
                0
            }
        };
        let start = ReadingStart {
            next,
            last: None,
            epoch,
        };
        let changed = store.published().clone();
        let session = Session::new(source.clone(), partition, start, WINDOW, changed);
        Ok(Some((session, next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OutboxReaders;
    use crate::transport::conformance::{self, TransportRig};

    fn rig(partitions: i32) -> TransportRig {
        TransportRig::new(
            "t",
            OutboxReaders::Consumers,
            |store| Box::new(EmbeddedLog::new(store, partitions)),
            (),
        )
    }

    conformance::suite!(rig);
}
