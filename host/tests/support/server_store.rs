//! A store on a PostgreSQL server of its own, from outside.

use std::path::Path;

use saga_core::message::Message;
use saga_core::outcome::Outcome;
use saga_testkit::postgres::{Server, Settings};

use crate::support::Start;

/// The schema with its tables.
const SCHEMA: &str = "saga";

/// A server, and the store that hosts have on it.
pub struct ServerStore {
    pub server: Server,
}

impl ServerStore {
    /// A server without a store. It does not write through to the disk: no test takes the machine down.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same with these settings of the server, by name.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = Settings {
            fsync: false,
            further: settings.iter().map(owned).collect(),
            ..Settings::default()
        };
        Self {
            server: Server::start(&settings).unwrap(),
        }
    }

    /// How a host of these participants is started on it.
    pub fn host(&self, participants: &[&str], data: &Path) -> Start {
        self.host_at(&self.server.url(), participants, data)
    }

    /// The same with another URL for its store.
    pub fn host_at(&self, url: &str, participants: &[&str], data: &Path) -> Start {
        Start::new(participants, data).arguments(&["--store", url])
    }

    /// The rows of a query, as text. No value may have `|` in it.
    pub fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let url = format!("{}?options=-csearch_path%3D{SCHEMA}", self.server.url());
        let rows = self.server.sql_as(&url, query).unwrap();
        let split = |row: &str| row.split('|').map(str::to_owned).collect();
        rows.lines().map(split).collect()
    }

    /// The only value of a query that gives a number.
    pub fn number(&self, query: &str) -> i64 {
        self.rows(query)[0][0].parse().unwrap()
    }

    /// All recorded decisions: participant, revision, message and outcome.
    pub fn decisions(&self) -> Vec<(String, u64, (Message, Outcome))> {
        let query = "SELECT p.name, j.revision, j.key, j.time, j.state, encode(j.decision, 'hex') FROM journal j
                     JOIN generations g ON g.id = j.generation JOIN participants p ON p.id = g.participant ORDER BY j.seq";
        let decoded = |row: Vec<String>| {
            let [participant, revision, key, time, state, decision] = row.try_into().unwrap();
            let state = Some(state.as_str()).filter(|state| !state.is_empty());
            let made = (key.as_str(), time.parse().unwrap());
            let decided = saga_core::journal::decode(&bytes(&decision), made, state).unwrap();
            (participant, revision.parse().unwrap(), decided)
        };
        self.rows(query).into_iter().map(decoded).collect()
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
