//! The sagas that a swap may have delayed, and their times compared with those of the others.
//!
//! Owns: grouping the samples by what they overlapped, and the distribution of each group. POST and
//! POST→decided are grouped separately: a saga may overlap a hand-over that its POST missed.
//!
//! Two effects would make swaps look slower than they are. A long request overlaps more than a
//! short one, so those that met a hand-over would be slower even if it cost nothing: hence the
//! control group, which met a moment of the same length halfway between two swaps. And a hand-over
//! that something else delays (a checkpoint of the store) would include the requests delayed by the
//! same: hence the fixed length of a moment.
//!
//! Must not know: the origin of samples and swaps.

use crate::swaps::traffic::Sample;

/// The reported quantiles; the maximum follows.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// Their names.
pub(crate) const QUANTILE_NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// The length of a hand-over that counts, from its beginning, in microseconds.
const MOMENT: u64 = 3_000;

/// The times of one swap, in microseconds since the traffic began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Swap {
    /// The request was sent.
    pub(crate) sent: u64,
    /// The hand-over began, after the checks.
    pub(crate) checked: u64,
    /// The answer was read: all turns use the new build.
    pub(crate) answered: u64,
}

/// A part of a run, in microseconds since the traffic began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeWindow {
    /// Its beginning.
    pub(crate) from: u64,
    /// Its end.
    pub(crate) until: u64,
}

/// Distribution of the times of requests, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Distribution {
    /// Number of requests.
    pub(crate) count: usize,
    /// One for each of [`QUANTILE_NAMES`].
    pub(crate) millis: [f64; 5],
}

/// The distributions of the five groups; None for an empty group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Groups {
    /// Within the window without swaps.
    pub(crate) quiet: Option<Distribution>,
    /// Overlapping a moment halfway between two swaps, and no swap: the control group.
    pub(crate) control: Option<Distribution>,
    /// Within the window with swaps, and overlapping none; includes the control group.
    pub(crate) between: Option<Distribution>,
    /// Overlapping the checks of a swap, but no hand-over.
    pub(crate) checks: Option<Distribution>,
    /// Overlapping the beginning of a hand-over.
    pub(crate) handed_over: Option<Distribution>,
}

/// The groups of all samples within the two windows; `swaps` in their order. `time` selects one of
/// a sample's times.
pub(crate) fn groups(
    samples: &[Sample],
    quiet: TimeWindow,
    swapping: TimeWindow,
    swaps: &[Swap],
    time: impl Fn(&Sample) -> u32,
) -> Groups {
    let mut times: [Vec<u32>; 5] = Default::default();
    let [in_quiet, control, between, checks, handed_over] = &mut times;
    let shams = halfway(swaps);
    for sample in samples {
        let took = time(sample);
        let request = TimeWindow {
            from: sample.began,
            until: sample.began.saturating_add(u64::from(took)),
        };
        if request.is_within(&quiet) {
            in_quiet.push(took);
        } else if request.is_within(&swapping) {
            match overlapped(&request, swaps) {
                Overlap::Nothing => {
                    between.push(took);
                    if matches!(overlapped(&request, &shams), Overlap::HandOver) {
                        control.push(took);
                    }
                }
                Overlap::Checks => checks.push(took),
                Overlap::HandOver => handed_over.push(took),
            }
        }
    }
    let [quiet, control, between, checks, handed_over] = times.map(Distribution::of);
    Groups {
        quiet,
        control,
        between,
        checks,
        handed_over,
    }
}

/// Moments halfway between two swaps, as hand-overs without checks.
fn halfway(swaps: &[Swap]) -> Vec<Swap> {
    let between = swaps.iter().zip(swaps.iter().skip(1));
    between
        .map(|(one, next)| {
            let moment = one.answered.midpoint(next.sent);
            Swap {
                sent: moment,
                checked: moment,
                answered: moment + MOMENT,
            }
        })
        .collect()
}

impl TimeWindow {
    /// Its length in seconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a run of 2^52 microseconds is 142 years"
    )]
    pub(crate) fn seconds(&self) -> f64 {
        self.until.saturating_sub(self.from) as f64 / 1e6
    }

    /// True if it lies within another one.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        other.from <= self.from && self.until <= other.until
    }
}

enum Overlap {
    Nothing,
    Checks,
    HandOver,
}

fn overlapped(request: &TimeWindow, swaps: &[Swap]) -> Overlap {
    let first = swaps.partition_point(|swap| swap.answered < request.from);
    let meanwhile = swaps
        .iter()
        .skip(first)
        .take_while(|swap| swap.sent <= request.until);
    let mut overlap = Overlap::Nothing;
    for swap in meanwhile {
        if swap.checked <= request.until && request.from <= swap.checked + MOMENT {
            return Overlap::HandOver;
        }
        overlap = Overlap::Checks;
    }
    overlap
}

impl Distribution {
    /// Of times in microseconds; None of an empty list.
    pub(crate) fn of(mut times: Vec<u32>) -> Option<Self> {
        times.sort_unstable();
        let max = f64::from(*times.last()?) / 1e3;
        let [p50, p90, p99, p999] = QUANTILES.map(|quantile| at(&times, quantile));
        Some(Self {
            count: times.len(),
            millis: [p50, p90, p99, p999, max],
        })
    }

    /// The difference to another distribution, at each quantile, in milliseconds.
    pub(crate) fn added_to(&self, other: &Self) -> [f64; 5] {
        let mut added = self.millis;
        for (own, other) in added.iter_mut().zip(other.millis) {
            *own -= other;
        }
        added
    }
}

/// The quantile of times, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a number of samples, which is far below 2^52"
)]
fn at(sorted: &[u32], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    let time = sorted.get(rank.saturating_sub(1)).or(sorted.last());
    time.map_or(0.0, |time| f64::from(*time) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_belongs_to_what_it_overlapped() {
        let quiet = TimeWindow {
            from: 0,
            until: 1_000,
        };
        let swapping = TimeWindow {
            from: 1_000,
            until: 9_000,
        };
        let swaps = [2_000, 5_000].map(|sent| Swap {
            sent,
            checked: sent + 400,
            answered: sent + 500,
        });
        let group_of = |began: u64, took: u32| {
            let sample = Sample {
                host: 0,
                began,
                posted: took,
                decided: 0,
            };
            let found = groups(&[sample], quiet, swapping, &swaps, |one| one.posted);
            let names = [
                ("quiet", found.quiet),
                ("between", found.between),
                ("checks", found.checks),
                ("handed over", found.handed_over),
            ];
            let mut found = names.iter().filter(|(_, group)| group.is_some());
            let first = found.next().map(|(name, _)| *name);
            assert!(found.next().is_none(), "{began} {took}");
            first
        };
        for (began, took, expected) in [
            (0, 1_000, Some("quiet")),
            (900, 200, None),
            (1_500, 499, Some("between")),
            (1_500, 500, Some("checks")),
            (2_100, 299, Some("checks")),
            (2_100, 300, Some("handed over")),
            (2_450, 10, Some("handed over")),
            (2_500, 10, Some("handed over")),
            (2_501, 2_498, Some("between")),
            (2_501, 2_500, Some("checks")),
            (1_500, 4_500, Some("handed over")),
            (8_900, 101, None),
        ] {
            assert_eq!(group_of(began, took), expected, "{began} {took}");
        }
    }

    #[test]
    fn the_control_met_a_moment_between_two_swaps() {
        let quiet = TimeWindow { from: 0, until: 1 };
        let swapping = TimeWindow {
            from: 1_000,
            until: 200_000,
        };
        let swaps = [50_000, 150_000].map(|sent| Swap {
            sent,
            checked: sent + 1_000,
            answered: sent + 2_000,
        });
        // Halfway between 52,000 and 150,000.
        let samples = [(100_000, 999), (100_000, 1_000), (104_000, 5), (104_001, 5)];
        let samples = samples.map(|(began, posted)| Sample {
            host: 0,
            began,
            posted,
            decided: 0,
        });
        let found = groups(&samples, quiet, swapping, &swaps, |one| one.posted);
        assert_eq!(found.between.unwrap().count, 4);
        assert_eq!(found.control.unwrap().count, 2);
        assert_eq!(found.handed_over, None);
    }

    #[test]
    fn a_hand_over_that_takes_long_does_not_gather_what_comes_later() {
        let window = |from, until| TimeWindow { from, until };
        let swap = Swap {
            sent: 10_000,
            checked: 11_000,
            answered: 40_000,
        };
        let samples = [(14_000, 9), (14_001, 9)].map(|(began, posted)| Sample {
            host: 0,
            began,
            posted,
            decided: 0,
        });
        let found = groups(&samples, window(0, 1), window(2, 90_000), &[swap], |one| {
            one.posted
        });
        assert_eq!(found.handed_over.unwrap().count, 1);
        assert_eq!(found.checks.unwrap().count, 1);
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        let distribution = Distribution::of((1..=1_000).rev().collect()).unwrap();
        assert_eq!(distribution.count, 1_000);
        assert_eq!(distribution.millis, [0.5, 0.9, 0.99, 0.999, 1.0]);
        let slower = Distribution::of((1..=1_000).map(|time| time + 2_000).collect()).unwrap();
        for added in slower.added_to(&distribution) {
            assert!((added - 2.0).abs() < 1e-9, "{added}");
        }
        assert_eq!(Distribution::of(Vec::new()), None);
    }
}
