//! The longest time without any answer of a host, around each swap.
//!
//! Owns: one such time for each host and swap, and for each host and hand-over; for comparison, those
//! of pieces of the same length of the window without swaps. Hosts pause for other reasons too, such
//! as a slow disk, and a longer piece more.
//!
//! Must not know: the origin of samples and swaps.

use crate::swaps::overlap::{Distribution, Swap, TimeWindow};
use crate::swaps::traffic::Sample;

/// Time after the answer to a swap that still belongs to it, in microseconds: other hosts follow.
const AFTERWARDS: u64 = 100_000;

/// Distributions of the longest times without an answer; None without any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pauses {
    /// From the request to the answer.
    pub(crate) swaps: Option<Distribution>,
    /// As long, without swaps.
    pub(crate) like_swaps: Option<Distribution>,
    /// From the end of the checks to the answer.
    pub(crate) hand_overs: Option<Distribution>,
    /// As long, without swaps.
    pub(crate) like_hand_overs: Option<Distribution>,
}

impl Pauses {
    /// Of these samples.
    pub(crate) fn of(samples: &[Sample], quiet: TimeWindow, swaps: &[Swap]) -> Self {
        let windows = |from: fn(&Swap) -> u64| -> Vec<TimeWindow> {
            let window = |swap| TimeWindow {
                from: from(swap),
                until: swap.answered + AFTERWARDS,
            };
            swaps.iter().map(window).collect()
        };
        let (whole, handed_over) = (windows(|swap| swap.sent), windows(|swap| swap.checked));
        let hosts = answers(samples);
        let longest = |windows: &[TimeWindow]| {
            let all = hosts.iter().flat_map(|host| {
                let longest = |window| u32::try_from(pause(host, window)).unwrap_or(u32::MAX);
                windows.iter().map(longest)
            });
            Distribution::of(all.collect())
        };
        Self {
            swaps: longest(&whole),
            like_swaps: longest(&pieces(quiet, median_length(&whole))),
            hand_overs: longest(&handed_over),
            like_hand_overs: longest(&pieces(quiet, median_length(&handed_over))),
        }
    }
}

fn median_length(windows: &[TimeWindow]) -> u64 {
    let lengths = windows.iter().map(|one| one.until.saturating_sub(one.from));
    let mut lengths: Vec<u64> = lengths.collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

/// The whole pieces of this length.
fn pieces(window: TimeWindow, length: u64) -> Vec<TimeWindow> {
    let length = length.max(1);
    let count = window.until.saturating_sub(window.from) / length;
    let piece = |number| TimeWindow {
        from: window.from + number * length,
        until: window.from + (number + 1) * length,
    };
    (0..count).map(piece).collect()
}

/// The moments of all answers to POSTs, and of those that showed a decision, by host; ascending.
fn answers(samples: &[Sample]) -> Vec<Vec<u64>> {
    let mut hosts: Vec<Vec<u64>> = Vec::new();
    for sample in samples {
        let host = usize::from(sample.host);
        if hosts.len() <= host {
            hosts.resize(host + 1, Vec::new());
        }
        if let Some(answers) = hosts.get_mut(host) {
            let times = [sample.posted, sample.decided];
            answers.extend(times.map(|took| sample.began + u64::from(took)));
        }
    }
    hosts.iter_mut().for_each(|answers| answers.sort_unstable());
    hosts
}

/// The longest time between two answers that overlaps a window. Before the first answer and after
/// the last it is counted within the window only.
fn pause(answers: &[u64], window: &TimeWindow) -> u64 {
    let next = answers.partition_point(|answer| *answer < window.from);
    let before = next.checked_sub(1).and_then(|last| answers.get(last));
    let mut last = before.copied().unwrap_or(window.from);
    let mut longest = 0;
    for answer in answers.iter().skip(next).copied().chain([window.until]) {
        longest = longest.max(answer.saturating_sub(last));
        last = answer;
        if answer >= window.until {
            break;
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(host: u8, posted_at: u64) -> Sample {
        Sample {
            host,
            began: posted_at - 10,
            posted: 10,
            decided: 10,
        }
    }

    #[test]
    fn a_gap_between_answers_counts_whole_and_only_where_it_meets_the_window() {
        let answers = [100, 200, 700, 800, 2_000];
        for (from, until, expected) in [
            (100, 200, 100),
            // The gap from 200 to 700 began before it, and ends after it.
            (300, 400, 500),
            (150, 750, 500),
            (710, 790, 100),
            (900, 950, 1_200),
            // Nobody knows how long it goes on.
            (2_100, 2_400, 400),
            (20, 90, 80),
        ] {
            let window = TimeWindow { from, until };
            assert_eq!(pause(&answers, &window), expected, "{from} {until}");
        }
    }

    #[test]
    fn each_host_has_its_own_pause() {
        // Host 0 answers every millisecond; host 1 does not from 400 to 600 ms.
        let each = |host| (1..1_000_u64).map(move |number| sample(host, number * 1_000));
        let is_paused = |one: &Sample| (400_000..600_000).contains(&one.began);
        let other = each(1).filter(|one| !is_paused(one));
        let samples: Vec<Sample> = each(0).chain(other).collect();
        let swap = Swap {
            sent: 450_000,
            checked: 460_000,
            answered: 500_000,
        };
        let quiet = TimeWindow {
            from: 0,
            until: 400_000,
        };
        let found = Pauses::of(&samples, quiet, &[swap]);
        for around in [found.swaps, found.hand_overs] {
            let around = around.unwrap();
            assert_eq!((around.count, around.millis[0]), (2, 1.0));
            assert!((around.millis[4] - 200.0).abs() < 1.5, "{around:?}");
        }
        // At two hosts, two pieces of 150 ms, and as many of 140.
        for without in [found.like_swaps, found.like_hand_overs] {
            let without = without.unwrap();
            assert_eq!((without.count, without.millis[4]), (4, 1.0));
        }
    }
}
