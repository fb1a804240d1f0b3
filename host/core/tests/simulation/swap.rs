//! A swap to another build, in steps between which anything may happen, even a crash: the host's
//! own copy, the comparison, the activation through the writer, the handover to each worker, the
//! description for admission; and the end, when all workers have noticed. If subscriptions change,
//! nothing is read from before the first handover until the description is the new one.
//!
//! An upgrade stops no worker. A build that can't read the states that the active one writes (a
//! rollback to older states) is activated while all workers are held between turns, so that no such
//! state is written meanwhile.

use std::cell::Cell;
use std::rc::Rc;

use saga_contract::compatibility::{Lack, lacks};

use crate::description::Shape;
use crate::process::Process;
use crate::rules::SagaRules;
use crate::scene::{Broken, Scene};
use crate::writer::{Activation, Request};

/// A swap in progress.
pub(crate) struct Swap {
    candidate: Rc<SagaRules>,
    /// True if the build may lack what is in use.
    drop_used: bool,
    step: Step,
}

/// The next step.
enum Step {
    Copy,
    Compare,
    /// Hold this worker and those after it.
    Hold(usize),
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
            drop_used: scene.random.percent(85),
            step,
        });
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
            Step::Hold(_) => Step::Activate,
            Step::Activate => {
                let result = Rc::default();
                self.queue.push_back(Request::Activate {
                    build: candidate,
                    result: Rc::clone(&result),
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
                    self.copy(&candidate);
                    if !scene.is_broken(Broken::ReadingOutlivesSwap) {
                        self.end_readings(&candidate, scene);
                    }
                    Step::Hand(0)
                }
                Some(Activation::Refused | Activation::Failed) => {
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
        if scene.is_broken(Broken::StatesCheckedBefore) && !self.store.is_readable_by(candidate) {
            return None;
        }
        if holds && !scene.is_broken(Broken::WorkersNotHeld) {
            scene.note("hold", format_args!("for {}", candidate.digest));
            return Some(Step::Hold(0));
        }
        Some(Step::Activate)
    }
}
