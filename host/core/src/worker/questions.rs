//! The open question of a worker, by the subject and the stage of its turn.

use super::action::{Ask, Question};
use super::attempt::{Asks, Attempt};
use super::host::{ActiveRules, HostTypes};
use super::{TurnStage, TurnSubject, Worker};

impl<H: HostTypes> Worker<H> {
    /// The question that must be answered before the worker goes on.
    #[must_use]
    pub fn question(&self) -> Option<Question<'_>> {
        let (subject, stage) = self.open.as_ref()?;
        Some(match stage {
            TurnStage::Attempt(attempt) => self.asks(subject, attempt),
            TurnStage::SyncTimer { .. } | TurnStage::SyncNext | TurnStage::SyncAttempt => {
                Question::Sync
            }
            TurnStage::ParkedTimer {
                is_synced: false, ..
            } => Question::Sync,
            TurnStage::Known { place, is_behind } => {
                let (identity, key) = match subject {
                    TurnSubject::Event(turn, identity) => {
                        let key = turn.envelope.message.key.as_str();
                        (Some(identity), (!is_behind).then_some(key))
                    }
                    _ => (None, None),
                };
                Question::Load(Ask {
                    identity,
                    place: place.as_ref(),
                    letter: identity,
                    aggregate: key.filter(|key| self.cache.peek(key).is_none()),
                    ..Ask::default()
                })
            }
            TurnStage::Returned { place, .. } => Question::Load(Ask {
                place: Some(place),
                ..Ask::default()
            }),
            TurnStage::Set { is_behind } => {
                let TurnSubject::Timer(turn) = subject else {
                    return None;
                };
                let key = turn.fired.key.as_str();
                let is_wanted = !is_behind && self.cache.peek(key).is_none();
                Question::Load(Ask {
                    timer: Some(&turn.fired),
                    aggregate: is_wanted.then_some(key),
                    ..Ask::default()
                })
            }
            TurnStage::ParkedTimer { fired, .. } => Question::Load(Ask {
                timer: Some(fired),
                ..Ask::default()
            }),
            TurnStage::Next { .. } => {
                let TurnSubject::Key(key, _) = subject else {
                    return None;
                };
                Question::Load(Ask {
                    parked: Some((key, self.held.after(key))),
                    ..Ask::default()
                })
            }
            TurnStage::Quarantined(_) => Question::Load(Ask {
                quarantined: subject.envelope().map(|envelope| &*envelope.message.key),
                ..Ask::default()
            }),
        })
    }

    fn asks<'w>(&self, subject: &'w TurnSubject<H>, attempt: &'w Attempt<H>) -> Question<'w> {
        let Some(envelope) = subject.envelope() else {
            return Question::Sync;
        };
        let current = self.active.description().state.version;
        match &attempt.asks {
            Asks::Aggregate => Question::Load(Ask {
                aggregate: Some(&envelope.message.key),
                ..Ask::default()
            }),
            Asks::Room => Question::Sync,
            Asks::Migrate { .. } => Question::Migrate {
                version: attempt.known.state_version,
                state: attempt.known.state.as_deref().unwrap_or_default(),
            },
            Asks::Call => Question::Call {
                state: attempt.state(),
                message: &envelope.message,
            },
            Asks::Blame { .. } => Question::Migrate {
                version: current,
                state: attempt.state().unwrap_or_default(),
            },
            Asks::Renew(_) => Question::Renew,
        }
    }
}
