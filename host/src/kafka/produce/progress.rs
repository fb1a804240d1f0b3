//! The progress of the relay on its way to the store.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::lane::Lane;
use super::{DRAIN, RELAY, Relay};
use crate::kafka::health::condition::{Condition, Subject};
use crate::store::StoreFault;

/// Progress of lanes on its way to the store: row of the topic, partition, offset.
pub(super) struct BeingWritten {
    progress: Vec<(i64, i32, i64)>,
    result: Receiver<Result<(), StoreFault>>,
}

impl Relay {
    /// Gives the store the progress that it does not know, unless it is still busy with what it was given before.
    pub(super) fn write_progress(&mut self) {
        if self.being_written.is_some() {
            return;
        }
        let progress: Vec<_> = self.lanes.iter().filter_map(Lane::unwritten).collect();
        if progress.is_empty() {
            return;
        }
        let result = (self.parts.store).hand_in_offsets(RELAY, progress.clone());
        self.being_written = Some(BeingWritten { progress, result });
    }

    /// Takes in what became of the progress that the store was given; with `patience`, waits for it.
    pub(super) fn note_written(&mut self, patience: Option<Duration>) {
        let Some(given) = self.being_written.take() else {
            return;
        };
        let result = match patience {
            None => given
                .result
                .try_recv()
                .map_err(|error| error == TryRecvError::Empty),
            Some(patience) => (given.result.recv_timeout(patience))
                .map_err(|error| error == RecvTimeoutError::Timeout),
        };
        match result {
            Ok(Ok(())) => {
                for lane in &mut self.lanes {
                    lane.written(&given.progress);
                }
                self.parts.conditions.clear(&Subject::Relay);
            }
            // Publishing goes on: what is repeated after a crash is known by its id.
            Ok(Err(error)) => {
                let fails = Condition::ProgressNotStored(error.to_string());
                self.parts.conditions.report(Subject::Relay, fails);
            }
            Err(is_still_written) => {
                self.being_written = Some(given).filter(|_| is_still_written);
            }
        }
    }

    /// Has all progress written before the end.
    pub(super) fn write_all_progress(&mut self) {
        // What is on its way first: only then is the rest given.
        self.note_written(Some(DRAIN));
        self.write_progress();
        self.note_written(Some(DRAIN));
    }
}
