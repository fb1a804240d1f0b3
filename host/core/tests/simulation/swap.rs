//! A swap to another build, in steps between which anything may happen, even a crash: the host's
//! own copy, the comparison, the activation through the writer, the handover to each worker, the
//! description for admission; and the end, when all workers have noticed. If subscriptions change,
//! nothing is read from before the first handover until the description is the new one.
//!
//! On a shared store, all hosts are ready before the activation, and the others follow it: their workers
//! are held meanwhile.
//!
//! An upgrade stops no worker. A build that can't read the states that the active one writes (a
//! rollback to older states) is activated while all workers are held between turns, so that no such
//! state is written meanwhile.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use saga_contract::compatibility::{Lack, lacks};

use crate::description::Shape;
use crate::hosts::{Member, Proposal};
use crate::process::Process;
use crate::rules::SagaRules;
use crate::scene::{Broken, Scene};
use crate::writer::{Activation, Request};

/// A swap in progress.
pub(crate) struct Swap {
    candidate: Rc<SagaRules>,
    /// The build that it is compared with.
    replaces: Rc<SagaRules>,
    /// True if the build may lack what is in use.
    drop_used: bool,
    /// The proposal to the other hosts.
    proposal: u64,
    /// True if another host has activated it.
    follows: bool,
    step: Step,
}

/// The next step.
enum Step {
    Copy,
    Compare,
    /// Propose it to the other hosts of a shared store.
    Propose {
        holds: bool,
    },
    /// Wait until all are ready, but not for ever.
    Agree {
        holds: bool,
        until: u64,
    },
    /// Hold this worker and those after it.
    Hold(usize),
    /// Wait until all decisions are committed, and go on with what another host has activated.
    Settle,
    Activate,
    /// Wait for the writer.
    Await(Rc<Cell<Option<Activation>>>),
    /// Hand the build over to this worker and those after it.
    Hand(usize),
    Describe,
    /// Wait for the workers.
    Finish,
}

impl Process {
    /// An operator wants another build to be active: a new one, or an earlier one.
    pub(crate) fn apply(&mut self, number: u64, scene: &mut Scene) {
        if self.swap.is_some() {
            return;
        }
        let random = &mut scene.random;
        let active = self.store.active().shape;
        let candidate = if random.percent(30) {
            let place = random.index(self.copies.len());
            let earlier = self.copies.values().nth(place);
            earlier.expect("there is a copy of this number").clone()
        } else {
            let rises = u32::from(random.percent(40));
            let oldest = if random.percent(30) {
                active.version
            } else {
                1
            };
            let more = [None, Some("/account"), Some("/order")];
            let shape = Shape {
                version: active.version + rises,
                oldest,
                more: more[random.index(more.len())],
                flaw: scene.flaw(),
            };
            Rc::new(SagaRules::new(self.role, number, shape))
        };
        self.begin_swap(candidate, scene);
    }

    fn begin_swap(&mut self, candidate: Rc<SagaRules>, scene: &mut Scene) {
        if candidate == *self.store.active() {
            return;
        }
        scene.note(
            "apply",
            format_args!("{} {:?}", candidate.digest, candidate.shape),
        );
        self.file = candidate.clone();
        let step = if scene.is_broken(Broken::CopiedAfterActivation) {
            Step::Compare
        } else {
            Step::Copy
        };
        self.swap = Some(Swap {
            candidate,
            replaces: self.store.active().clone(),
            drop_used: scene.random.percent(85),
            proposal: 0,
            follows: false,
            step,
        });
    }

    /// Begins to follow another host that has activated a build; returns false if there is none.
    pub(crate) fn follow(&mut self, scene: &mut Scene) -> bool {
        let active = self.store.active().clone();
        let has_begun = |swap: &Swap| {
            !matches!(
                swap.step,
                Step::Copy | Step::Compare | Step::Propose { .. } | Step::Agree { .. }
            )
        };
        if self.swap.as_ref().is_some_and(has_begun) || self.admits == active {
            return false;
        }
        if let Some(own) = self.swap.take() {
            self.withdraw(own.proposal);
        }
        scene.note("follow", format_args!("{} {}", self.number, active.digest));
        self.swap = Some(Swap {
            candidate: active,
            replaces: self.admits.clone(),
            drop_used: true,
            proposal: 0,
            follows: true,
            step: Step::Hold(0),
        });
        true
    }

    /// Tells the host that is about to swap that this one is ready; returns false if there is none.
    pub(crate) fn answer_proposal(&mut self) -> bool {
        let me = self.me;
        let proposal = self.store.shared.proposal.as_mut();
        proposal.is_some_and(|proposal| proposal.by != me && proposal.ready.insert(me.row))
    }

    /// Proposes a build; returns the number of the proposal, unless another host was first.
    fn propose(&mut self, replaces: &SagaRules, now: u64) -> Option<u64> {
        let others = self.store.shared.proposal.as_ref();
        let is_busy = others
            .is_some_and(|other| other.by.row != self.me.row && self.store.is_seen(other.by, now));
        if is_busy || **self.store.active() != *replaces {
            return None;
        }
        let shared = &mut self.store.shared;
        shared.proposals += 1;
        shared.proposal = Some(Proposal {
            number: shared.proposals,
            by: self.me,
            ready: BTreeSet::new(),
        });
        Some(shared.proposals)
    }

    /// True if all other hosts that are there are ready.
    fn is_agreed(&self, number: u64, now: u64) -> bool {
        let shared = &self.store.shared;
        let own = shared.proposal.as_ref();
        let own = own.filter(|proposal| proposal.number == number);
        let ready = own.map(|proposal| &proposal.ready);
        (0..shared.hosts.len()).all(|row| {
            let member = Member {
                row,
                incarnation: shared.hosts[row].incarnation,
            };
            let is_ready = || ready.is_some_and(|ready| ready.contains(&row));
            member == self.me || !self.store.is_seen(member, now) || is_ready()
        })
    }

    fn withdraw(&mut self, number: u64) {
        let shared = &mut self.store.shared;
        shared.proposal.take_if(|open| open.number == number);
    }

    /// Makes the next step of the swap; returns false if there was none.
    pub(crate) fn go_on_swapping(&mut self, scene: &mut Scene) -> bool {
        let Some(mut swap) = self.swap.take() else {
            return false;
        };
        let candidate = swap.candidate.clone();
        swap.step = match swap.step {
            Step::Copy => {
                self.copy(&candidate);
                Step::Compare
            }
            Step::Compare => match self.compare(&swap, scene) {
                Some(step) => step,
                None => return true,
            },
            Step::Hold(thread) if thread < self.threads.len() => {
                if self.threads[thread].worker.question().is_some() {
                    // It is held between two turns.
                    self.swap = Some(Swap {
                        step: Step::Hold(thread),
                        ..swap
                    });
                    return false;
                }
                self.threads[thread].held = true;
                Step::Hold(thread + 1)
            }
            Step::Hold(_) if swap.follows => Step::Settle,
            Step::Hold(_) => Step::Activate,
            Step::Settle => {
                if !self.is_written() {
                    self.swap = Some(Swap {
                        step: Step::Settle,
                        ..swap
                    });
                    return false;
                }
                self.end_readings(&candidate, scene);
                Step::Hand(0)
            }
            Step::Propose { holds } => match self.propose(&swap.replaces, scene.now) {
                Some(number) => {
                    scene.note("propose", format_args!("{number} {}", candidate.digest));
                    swap.proposal = number;
                    Step::Agree {
                        holds,
                        until: scene.now + 150,
                    }
                }
                None => return true,
            },
            Step::Agree { holds, until } => match self.is_agreed(swap.proposal, scene.now) {
                true if holds => Step::Hold(0),
                true => Step::Activate,
                false if until < scene.now => {
                    self.withdraw(swap.proposal);
                    return true;
                }
                false => {
                    self.swap = Some(Swap {
                        step: Step::Agree { holds, until },
                        ..swap
                    });
                    return false;
                }
            },
            Step::Activate => {
                let result = Rc::default();
                let holds = self.threads.iter().any(|thread| thread.held);
                self.queue.push_back(Request::Activate {
                    build: candidate,
                    result: Rc::clone(&result),
                    replaces: swap.replaces.clone(),
                    is_checked: holds,
                });
                if scene.is_broken(Broken::HandedBeforeActivation) {
                    Step::Hand(0)
                } else {
                    Step::Await(result)
                }
            }
            Step::Await(result) => match result.get() {
                None => {
                    self.swap = Some(Swap {
                        step: Step::Await(result),
                        ..swap
                    });
                    return false;
                }
                Some(Activation::Committed) => {
                    self.withdraw(swap.proposal);
                    self.copy(&candidate);
                    if !scene.is_broken(Broken::ReadingOutlivesSwap) {
                        self.end_readings(&candidate, scene);
                    }
                    Step::Hand(0)
                }
                Some(Activation::Refused | Activation::Failed) => {
                    self.withdraw(swap.proposal);
                    for thread in &mut self.threads {
                        thread.held = false;
                    }
                    return true;
                }
            },
            Step::Hand(thread) if thread < self.threads.len() => {
                self.threads[thread].handed = Some(candidate);
                Step::Hand(thread + 1)
            }
            Step::Hand(_) => Step::Describe,
            Step::Describe => {
                self.admits = candidate;
                self.reading_paused = false;
                Step::Finish
            }
            Step::Finish => {
                let waits = self.threads.iter().any(|thread| thread.handed.is_some());
                if waits && !scene.is_broken(Broken::SwapNotAwaited) {
                    self.swap = Some(Swap {
                        step: Step::Finish,
                        ..swap
                    });
                    return false;
                }
                scene.note("swap", format_args!("{}", candidate.digest));
                // Now and then an operator rolls back at once.
                let before = self.store.activations.iter().rev().nth(1);
                let before = before.filter(|_| !swap.follows);
                if let Some(before) = before.filter(|_| scene.random.percent(40)) {
                    self.begin_swap(before.build.clone(), scene);
                }
                return true;
            }
        };
        self.swap = Some(swap);
        true
    }

    /// The first step: there must be a copy of the build before it is active.
    fn copy(&mut self, build: &Rc<SagaRules>) {
        self.copies.insert(build.digest.clone(), build.clone());
        let components = &mut self.store.shared.components;
        components.insert(build.digest.clone(), build.clone());
    }

    /// Records that were admitted by other subscriptions and are not settled are read again by the
    /// new ones, before later records. It would be too late if the worker that meets the first of
    /// them did this, or when the description changes: the new build may have decided later records
    /// by then.
    fn end_readings(&mut self, candidate: &SagaRules, scene: &mut Scene) {
        if self.admits.description.subscriptions == candidate.description.subscriptions {
            return;
        }
        scene.note("readings-end", format_args!("{}", self.role.name()));
        for session in &self.sessions {
            session.cancelled.set(true);
        }
        self.reading_paused = true;
    }

    /// Compares the descriptions; returns the next step unless the candidate is refused.
    fn compare(&self, swap: &Swap, scene: &mut Scene) -> Option<Step> {
        let (active, candidate) = (self.store.active(), &swap.candidate);
        let mut holds = false;
        for lack in lacks(&active.description, &candidate.description) {
            match lack {
                // There may be no states of the version that the active build writes yet, but then
                // none must be added.
                Lack::State { .. } => holds = true,
                Lack::Subscription { .. }
                | Lack::Route { .. }
                | Lack::Listing { .. }
                | Lack::Timer { .. }
                    if swap.drop_used => {}
                lack => {
                    scene.note("lack", format_args!("{lack}"));
                    return None;
                }
            }
        }
        // On a shared store, an activation that lacks nothing is not compared with it again.
        let is_early = scene.is_shared || scene.is_broken(Broken::StatesCheckedBefore);
        if is_early && !self.store.is_readable_by(candidate) {
            return None;
        }
        if scene.is_shared {
            return Some(Step::Propose { holds });
        }
        if holds && !scene.is_broken(Broken::WorkersNotHeld) {
            scene.note("hold", format_args!("for {}", candidate.digest));
            return Some(Step::Hold(0));
        }
        Some(Step::Activate)
    }
}
