//! Reports on the health of a host: `/readyz`, and its log.
//!
//! Must not know: what is wrong, or why.

use crate::support::{Host, Response, request};

/// The readiness of a host.
#[derive(Debug)]
pub struct Health {
    /// The state in one word.
    pub status: String,
    /// Why records don't flow, if they don't.
    pub transport: String,
}

/// Asks a host, which must take requests.
pub fn health(host: &Host) -> Health {
    let (status, health) = asked(host);
    assert_eq!(status, 200, "{health:?}");
    health
}

fn asked(host: &Host) -> (u16, Health) {
    let answer: Response = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    let told = answer.json();
    let text = |field: &str| told[field].as_str().unwrap_or_default().to_owned();
    let health = Health {
        status: text("status"),
        transport: text("transport"),
    };
    (answer.status, health)
}

/// Why a host is not ready; empty where it is.
pub fn reason(host: &Host) -> String {
    let answer: Response = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    let reason = answer.json()["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(reason.is_empty(), answer.status == 200, "{}", answer.text());
    reason
}

/// Sum of the series of a metric whose labels hold all of these words; none where there is no such series.
pub fn figure(host: &Host, name: &str, words: &[&str]) -> Option<f64> {
    let answer: Response = request("GET", &format!("{}/metrics", host.admin()), &[], b"");
    let text = answer.text();
    let values = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let is_meant = words.iter().all(|word| labels.contains(word));
        is_meant.then(|| value.parse::<f64>().unwrap())
    });
    values.reduce(|sum, value| sum + value)
}

/// The lag of a host on a topic, as its metrics tell it.
pub fn lag(host: &Host, topic: &str) -> Option<f64> {
    figure(host, "saga_consumer_lag_records", &[topic])
}

/// Waits until all of these hosts have nothing to complain of.
pub fn until_ready(hosts: &[&Host]) {
    for host in hosts {
        let mut last = String::new();
        until_so(host, || {
            let health = health(host);
            last = format!("ready; it is {health:?}");
            (
                health.status == "ready" && health.transport.is_empty(),
                last.clone(),
            )
        });
    }
}

/// Waits until a host is degraded, and says all of this of why.
pub fn until_degraded(host: &Host, words: &[&str]) {
    until_so(host, || {
        let health = health(host);
        let is_said = words.iter().all(|word| health.transport.contains(word));
        (
            health.status == "degraded" && is_said,
            format!("degraded with {words:?}; it is {health:?}"),
        )
    });
}

/// Waits until a host is not ready, and says all of this of why.
pub fn until_unavailable(host: &Host, words: &[&str]) {
    until_so(host, || {
        let (status, health) = asked(host);
        let is_said = words.iter().all(|word| health.transport.contains(word));
        (
            status == 503 && health.status == "unavailable" && is_said,
            format!("unavailable with {words:?}; it is {health:?}"),
        )
    });
}

fn until_so(host: &Host, mut is_so: impl FnMut() -> (bool, String)) {
    let start = std::time::Instant::now();
    loop {
        let (is_so, what) = is_so();
        if is_so {
            return;
        }
        assert!(
            start.elapsed() < crate::support::PATIENCE,
            "a host does not come to be {what}. Its log:\n{}",
            host.log()
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The log of a host from some moment on.
pub struct Since<'h> {
    host: &'h Host,
    begins: usize,
}

impl<'h> Since<'h> {
    /// From now on.
    pub fn now(host: &'h Host) -> Self {
        let begins = host.log().len();
        Self { host, begins }
    }

    /// Its lines.
    pub fn text(&self) -> String {
        self.host.log().split_off(self.begins)
    }

    /// How many lines hold this.
    pub fn count(&self, text: &str) -> usize {
        let said = self.text();
        said.lines().filter(|line| line.contains(text)).count()
    }

    /// Checks that no warning and no error was said twice, whatever times stood in it.
    pub fn nothing_is_said_again_and_again(&self) {
        let said = self.text();
        let is_number = |word: &&str| word.chars().all(|sign| sign.is_ascii_digit());
        let mut told: Vec<Vec<&str>> = said
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            // The first word is the time.
            .map(|line| {
                line.split(' ')
                    .skip(1)
                    .filter(|word| !is_number(word))
                    .collect()
            })
            .collect();
        told.sort();
        let again = told.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(again, None, "said again:\n{said}");
    }
}
