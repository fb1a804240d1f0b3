//! A worker's part in a swap: it goes over to the build that it was handed before its next turn, and sends back
//! what was admitted under a description by which it would have been admitted otherwise.

use saga_contract::compatibility::{is_same_command, is_same_subscription};

use crate::entry::Turn;
use crate::process::Ask;
use crate::scene::{Broken, Scene};
use crate::worker::{Bench, Worker};

impl Worker {
    /// Goes over to the build that it was handed; says whether there was one.
    pub(crate) fn switch(&mut self, scene: &mut Scene) -> bool {
        let Some(build) = self.handed.take() else {
            return false;
        };
        scene.note("switch", format_args!("to {}", build.digest));
        self.build = build;
        self.offer_all_parked();
        self.held = false;
        true
    }

    /// Gives the turn back if it may be taken. Otherwise its call is routed anew, or its reading ends and the record
    /// is read again.
    pub(crate) fn admitted_alike(&self, turn: Turn, bench: &mut Bench<'_>) -> Option<Turn> {
        let other = match &turn {
            Turn::Command { admitted, .. }
            | Turn::Read { admitted, .. }
            | Turn::Event { admitted, .. }
            | Turn::Unreadable { admitted, .. } => admitted.description.clone(),
            // What was passed over came before the swap for all that anyone can tell. A timer is not admitted.
            Turn::Timer { .. } | Turn::Passed { .. } => return Some(turn),
        };
        let own = &bench.build.description;
        let is_same = match &turn {
            Turn::Command { envelope, .. } | Turn::Read { envelope, .. } => {
                is_same_command(own, &other, &envelope.message.name)
            }
            Turn::Event { taken, record, .. } | Turn::Unreadable { taken, record, .. } => {
                let event_type = record.attributes.event_type.as_deref();
                is_same_subscription(own, &other, taken.0.topic, event_type)
            }
            Turn::Timer { .. } | Turn::Passed { .. } => true,
        };
        if is_same || bench.scene.is_broken(Broken::AdmissionNotCompared) {
            return Some(turn);
        }
        match turn {
            Turn::Command {
                envelope,
                generated_key,
                call,
                ..
            } => {
                let message = envelope.message;
                bench
                    .scene
                    .note("routed-anew", format_args!("{}", message.id));
                bench.again.push_back(Ask {
                    call,
                    key: generated_key.is_none().then_some(message.key),
                    body: message.body,
                    read: false,
                });
            }
            Turn::Read { envelope, call, .. } => bench.again.push_back(Ask {
                call,
                key: Some(envelope.message.key),
                body: envelope.message.body,
                read: true,
            }),
            Turn::Event { taken, record, .. } | Turn::Unreadable { taken, record, .. } => {
                bench
                    .scene
                    .note("admitted-otherwise", format_args!("{}", record.position));
                taken.0.cancelled.set(true);
            }
            Turn::Timer { .. } | Turn::Passed { .. } => {}
        }
        None
    }
}
