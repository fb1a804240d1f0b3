//! The comparison of a benchmark with an earlier one on the same machine.
//!
//! Owns: which figures are compared, and when one is behind. Must not know: the measurements.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// A figure this much worse than that of the baseline is behind. Rounds of one build differ by a tenth.
const BEHIND: f64 = 0.2;

/// The compared figures of a host at one number of connections: what they are called, where they are in
/// the JSON, and whether more is better.
const FIGURES: [(&str, &str, bool); 5] = [
    ("sagas/s", "/component/sagas_per_second", true),
    ("decided p50", "/component/decided/p50_ms", false),
    ("CPU", "/component/host_cpu_seconds_per_10000_sagas", false),
    ("written", "/component/host_written_bytes_per_saga", false),
    ("peak MiB", "/component/host_peak_mib", false),
];

/// Where the baseline of this machine is.
#[must_use]
pub(crate) fn default_path(target: &Path) -> PathBuf {
    target.join("bench-baseline.json")
}

/// Makes this benchmark the baseline. `report` is its JSON.
///
/// # Errors
/// The file can't be written.
pub(crate) fn record(path: &Path, report: &Value) -> Result<()> {
    let text = format!("{report:#}\n");
    std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

/// The baseline in this file; None if there is none.
///
/// # Errors
/// The file can't be read, or is no report.
pub(crate) fn load(path: &Path) -> Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let report = serde_json::from_str(&text).with_context(|| {
        let path = path.display();
        format!("{path} is no report of `run --json`; record it anew with --record")
    })?;
    Ok(Some(report))
}

/// The ratios of a benchmark to its baseline.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    levels: Vec<(u64, Vec<Ratio>)>,
}

#[derive(Debug, PartialEq)]
struct Ratio {
    figure: &'static str,
    /// The figure by that of the baseline.
    ratio: f64,
    is_behind: bool,
}

impl Comparison {
    /// Compares two reports, at the numbers of connections that both have.
    pub(crate) fn of(report: &Value, baseline: &Value) -> Self {
        let levels = |report: &Value| report.pointer("/levels").and_then(Value::as_array).cloned();
        let before = levels(baseline).unwrap_or_default();
        let compared = levels(report).unwrap_or_default().into_iter();
        let levels = compared.filter_map(|level| {
            let connections = level.pointer("/connections")?.as_u64()?;
            let is_same = |other: &&Value| {
                other.pointer("/connections").and_then(Value::as_u64) == Some(connections)
            };
            let other = before.iter().find(is_same)?;
            Some((connections, ratios(&level, other)))
        });
        Self {
            levels: levels.collect(),
        }
    }

    /// True if a figure is behind.
    pub(crate) fn is_behind(&self) -> bool {
        let mut ratios = self.levels.iter().flat_map(|(_, ratios)| ratios);
        ratios.any(|ratio| ratio.is_behind)
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let level = |(connections, ratios): &(u64, Vec<Ratio>)| {
            let ratio = |ratio: &Ratio| json!({ "figure": ratio.figure, "ratio": ratio.ratio, "is_behind": ratio.is_behind });
            json!({ "connections": connections, "ratios": ratios.iter().map(ratio).collect::<Vec<_>>() })
        };
        self.levels.iter().map(level).collect()
    }

    /// As text: a line for each number of connections.
    pub(crate) fn text(&self, path: &Path) -> String {
        let mut text = format!("ratios to the baseline ({}):\n", path.display());
        for (connections, ratios) in &self.levels {
            let ratio = |ratio: &Ratio| {
                let mark = if ratio.is_behind { " BEHIND" } else { "" };
                format!("{} {:.2}{mark}", ratio.figure, ratio.ratio)
            };
            let ratios: Vec<_> = ratios.iter().map(ratio).collect();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{connections:>16}  {}", ratios.join(", "));
        }
        if self.is_behind() {
            let percent = BEHIND * 100.0;
            let _ = writeln!(
                text,
                "BEHIND: more than {percent:.0} % worse than the baseline"
            );
        }
        text
    }
}

fn ratios(level: &Value, baseline: &Value) -> Vec<Ratio> {
    let figures = FIGURES
        .iter()
        .filter_map(|(figure, pointer, more_is_better)| {
            let value = |report: &Value| report.pointer(pointer).and_then(Value::as_f64);
            let before = value(baseline).filter(|before| *before > 0.0)?;
            let ratio = value(level)? / before;
            let is_behind = match more_is_better {
                true => ratio < 1.0 - BEHIND,
                false => ratio > 1.0 + BEHIND,
            };
            Some(Ratio {
                figure,
                ratio,
                is_behind,
            })
        });
    figures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rate: f64, p50: f64, connections: u64) -> Value {
        let component = json!({ "sagas_per_second": rate, "decided": { "p50_ms": p50 } });
        json!({ "levels": [{ "connections": connections, "component": component }] })
    }

    #[test]
    fn a_figure_a_fifth_worse_is_behind() {
        let baseline = report(1_000.0, 10.0, 16);
        for (rate, p50, is_behind) in [
            (1_000.0, 10.0, false),
            (2_000.0, 1.0, false),
            (801.0, 11.9, false),
            (799.0, 10.0, true),
            (1_000.0, 12.1, true),
        ] {
            let compared = Comparison::of(&report(rate, p50, 16), &baseline);
            assert_eq!(compared.is_behind(), is_behind, "{compared:?}");
        }
        let behind = Comparison::of(&report(500.0, 10.0, 16), &baseline);
        let text = behind.text(Path::new("b.json"));
        assert!(
            text.contains("              16  sagas/s 0.50 BEHIND, decided p50 1.00\n"),
            "{text}"
        );
        assert_eq!(
            behind.json().pointer("/0/ratios/0/is_behind"),
            Some(&json!(true))
        );
    }

    #[test]
    fn levels_that_only_one_has_are_left_out() {
        let compared = Comparison::of(&report(1.0, 99.0, 256), &report(1_000.0, 1.0, 16));
        assert_eq!(compared, Comparison::default());
    }

    #[test]
    fn a_baseline_comes_back_and_a_broken_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = default_path(directory.path());
        assert_eq!(load(&path).unwrap(), None);
        record(&path, &report(1.0, 2.0, 3)).unwrap();
        assert_eq!(load(&path).unwrap(), Some(report(1.0, 2.0, 3)));
        std::fs::write(&path, "{").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.ends_with("record it anew with --record"), "{error}");
    }
}
