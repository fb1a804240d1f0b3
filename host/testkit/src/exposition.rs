//! A strict parser of `/metrics`: a violation of the format fails the test.
//!
//! It checks the rules of OpenMetrics 1.0 and of Prometheus text 0.0.4 that scrapers check: help
//! and type before the series, each family once, no series twice, correct names and escapes,
//! buckets that add up, and one end. Must not know: the metrics.

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use crate::blocking::{Host, request};

/// The media type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text";

type Labels = BTreeMap<String, String>;

/// The metrics of one moment.
#[derive(Debug)]
pub struct Exposition {
    /// Type of each family, by its name.
    families: BTreeMap<String, String>,
    series: BTreeMap<(String, Labels), f64>,
}

/// Scrapes a host, as Prometheus does.
pub fn scrape(host: &Host) -> Exposition {
    let headers = [("accept", OPENMETRICS)];
    let response = request("GET", &format!("{}/metrics", host.admin()), &headers, b"");
    assert_eq!(response.status, 200, "{}", response.text());
    let media_type = response.header("content-type").unwrap();
    assert!(media_type.starts_with(OPENMETRICS), "{media_type}");
    Exposition::read(&response.text(), true)
}

impl Exposition {
    /// Parses a text of one of the formats.
    pub fn read(text: &str, is_openmetrics: bool) -> Self {
        let mut read = Self {
            families: BTreeMap::new(),
            series: BTreeMap::new(),
        };
        let text = if is_openmetrics {
            text.strip_suffix("# EOF\n")
                .expect("OpenMetrics has an end")
        } else {
            text
        };
        assert!(text.ends_with('\n'), "the last line has an end");
        let (mut helped, mut family) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["#", "HELP", name, ref help @ ..] => {
                    assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
                    family = name.to_owned();
                }
                ["#", "TYPE", name, kind] => {
                    assert_eq!(name, family, "help comes before type: {line}");
                    let before = read.families.insert(name.to_owned(), kind.to_owned());
                    assert_eq!(before, None, "a family is told once: {line}");
                }
                ["#", ..] => panic!("{line}"),
                _ => read.sample(line, &family, is_openmetrics),
            }
        }
        read.buckets_add_up();
        read
    }

    fn sample(&mut self, line: &str, family: &str, is_openmetrics: bool) {
        let end = line.find(['{', ' ']).expect("a sample has a value");
        let (name, rest) = line.split_at(end);
        let (labels, value) = labels(rest);
        let kind = self.families[family].as_str();
        let suffix = name.strip_prefix(family);
        let fits = match (kind, suffix) {
            ("counter", Some("_total")) => is_openmetrics,
            ("counter", Some("")) => !is_openmetrics && name.ends_with("_total"),
            ("gauge", Some("")) => true,
            ("histogram", Some("_bucket")) => labels.contains_key("le"),
            ("histogram", Some("_sum" | "_count")) => true,
            _ => false,
        };
        assert!(fits, "{line} is no sample of the {kind} {family}");
        let value: f64 = value.trim().parse().unwrap();
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        let before = self.series.insert((name.to_owned(), labels), value);
        assert_eq!(before, None, "a series is told once: {line}");
    }

    fn buckets_add_up(&self) {
        let histograms = (self.families.iter()).filter(|(_, kind)| *kind == "histogram");
        for (family, _) in histograms {
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((name, labels), count) in &self.series {
                if *name == format!("{family}_bucket") {
                    let mut labels = labels.clone();
                    let le = labels.remove("le").unwrap();
                    let le = le.replace("+Inf", "inf").parse().unwrap();
                    buckets.entry(labels).or_default().push((le, *count));
                }
            }
            assert!(!buckets.is_empty(), "{family} has buckets");
            for (labels, mut of) in buckets {
                of.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(of.is_sorted_by(|a, b| a.1 <= b.1), "{family} {labels:?}");
                let count = self.series[&(format!("{family}_count"), labels)];
                assert_eq!(of.last(), Some(&(f64::INFINITY, count)), "{family}");
            }
        }
    }

    /// The names of the families in queries: a counter's name ends with `_total`.
    pub fn names(&self) -> BTreeSet<String> {
        let named = self.families.iter().map(|(name, kind)| match &**kind {
            "counter" if !name.ends_with("_total") => format!("{name}_total"),
            _ => name.clone(),
        });
        named.collect()
    }

    /// The values of the series of this name with these labels.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let has = |of: &Labels| {
            (labels.iter()).all(|(label, value)| of.get(*label).is_some_and(|is| is == value))
        };
        (self.series.iter())
            .filter(|((known, of), _)| known == name && has(of))
            .map(|(_, value)| *value)
            .collect()
    }

    /// The sum of the series of this name with these labels; 0 if there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).iter().sum()
    }

    /// The value of the only series of this name with these labels.
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.all(name, labels);
        assert_eq!(all.len(), 1, "{name} {labels:?}: {all:?}");
        all[0]
    }

    /// The values of a label.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let of_name = (self.series.keys()).filter(|(known, _)| known == name);
        of_name
            .filter_map(|(_, of)| of.get(label).cloned())
            .collect()
    }
}

/// `{a="b",c="d"} 1` → the labels, and the rest.
fn labels(text: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return (labels, text);
    };
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let is_letter = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(!name.is_empty() && name.chars().all(is_letter), "{text}");
        let (mut value, mut end) = (String::new(), None);
        let mut letters = quoted.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    end = Some(at);
                    break;
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                    other => panic!("{other:?} is no escape: {text}"),
                },
                other => value.push(other),
            }
        }
        let before = labels.insert(name.to_owned(), value);
        assert_eq!(before, None, "a label is told once: {text}");
        rest = &quoted[end.expect("a value has an end") + 1..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (labels, rest.strip_prefix('}').expect("labels have an end")),
        }
    }
    panic!("labels have an end: {text}")
}
