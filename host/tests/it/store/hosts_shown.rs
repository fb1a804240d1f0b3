//! `saga hosts` and `/readyz` of several hosts on one PostgreSQL server.

use std::path::Path;

use saga_testkit::postgres::can_start;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::commands::{asks, call, json_of};
use crate::expect::until;
use crate::orders::ann;
use crate::server_store::ServerStore;
use crate::support::{Host, Start, component, request, saga, signal};

const BOTH: [&str; 2] = ["customer", "order"];

/// What a host does for all when it is the only one.
const DUTIES: [&str; 3] = ["pruning", "timers customer", "timers order"];

struct Two {
    store: ServerStore,
    hosts: Vec<Host>,
    _data: [TempDir; 2],
}

impl Two {
    /// Two hosts of both participants on one store. None if no server can be started here.
    fn start() -> Option<Self> {
        if !can_start() {
            return None;
        }
        let store = ServerStore::new();
        let data = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let start = |data: &TempDir| store.host(&BOTH, data.path()).start();
        let hosts = data.iter().map(start).collect();
        Some(Self {
            store,
            hosts,
            _data: data,
        })
    }

    /// What this host tells of all.
    fn told_by(&self, host: usize) -> Vec<Value> {
        let mut hosts = json_of(saga().args(["hosts", "--admin", self.hosts[host].admin()]));
        hosts["hosts"].as_array_mut().map(std::mem::take).unwrap()
    }

    /// What the store tells of all.
    fn told_by_the_store(&self) -> Vec<Value> {
        let url = self.store.server.url();
        let mut hosts = json_of(&mut asks(Path::new(&url), &["hosts"]));
        hosts["hosts"].as_array_mut().map(std::mem::take).unwrap()
    }

    /// Status and reason of `/readyz`.
    fn readiness(&self, host: usize) -> (u16, String) {
        let told = request(
            "GET",
            &format!("{}/readyz", self.hosts[host].admin()),
            &[],
            b"",
        );
        (told.status, told.json()["reason"].to_string())
    }
}

/// The duties of these hosts, sorted.
fn duties(hosts: &[Value]) -> Vec<&str> {
    let of = hosts.iter().filter_map(|host| host["duties"].as_array());
    let mut all: Vec<&str> = of.flatten().filter_map(Value::as_str).collect();
    all.sort_unstable();
    all
}

fn partitions(host: &Value) -> usize {
    host["partitions"].as_array().map_or(0, Vec::len)
}

#[test]
fn hosts_are_listed_with_their_duties_and_one_that_was_killed_as_gone() {
    let Some(mut two) = Two::start() else {
        return;
    };
    until("both are listed, and each does and reads something", || {
        let hosts = two.told_by(0);
        let does = |host: &Value| {
            partitions(host) > 0
                && !duties(std::slice::from_ref(host)).is_empty()
                && host["is_current"] == true
        };
        hosts.len() == 2 && duties(&hosts) == DUTIES && hosts.iter().all(does)
    });
    let (by_one, by_other) = (two.told_by(0), two.told_by(1));
    let which = |hosts: &[Value]| -> Vec<bool> {
        hosts.iter().map(|host| host["is_this"] == true).collect()
    };
    assert_eq!(which(&by_one), [true, false]);
    assert_eq!(which(&by_other), [false, true]);
    let of_store = two.told_by_the_store();
    for (host, stored) in by_one.iter().zip(&of_store) {
        assert_eq!(host["participants"], json!(BOTH));
        assert_eq!(host["is_gone"], false);
        for what in ["name", "since", "participants", "duties", "partitions"] {
            assert_eq!(host[what], stored[what], "{what}");
        }
    }
    let metrics = request(
        "GET",
        &format!("{}/metrics", two.hosts[0].admin()),
        &[],
        b"",
    );
    let metrics = metrics.text();
    let own = duties(&by_one[..1]).len() + partitions(&by_one[0]);
    assert!(metrics.contains("\nsaga_hosts 2\n"), "{metrics}");
    assert!(
        metrics.contains(&format!("\nsaga_duties {own}\n")),
        "{metrics}"
    );

    let all = partitions(&by_one[0]) + partitions(&by_one[1]);
    two.hosts.remove(0).kill();
    until("the other one does everything", || {
        let hosts = two.told_by(0);
        hosts[0]["is_gone"] == true && duties(&hosts[1..]) == DUTIES && partitions(&hosts[1]) == all
    });
    let (code, text, said) = call(saga().args(["hosts", "--admin", two.hosts[0].admin()]));
    assert_eq!((code, said.as_str()), (0, ""));
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(
        lines.len() == 2
            && lines[0].contains("GONE: last seen")
            && lines[1].contains("(this host)"),
        "{text}"
    );
    assert!(two.hosts.remove(0).stop().success());
    let left = two.told_by_the_store();
    assert_eq!(left.len(), 1, "one that ends leaves: {left:?}");
}

#[test]
fn a_host_that_can_t_take_over_the_active_rules_is_not_ready_and_says_so() {
    let Some(two) = Two::start() else {
        return;
    };
    ann(&two.hosts[0]);
    signal(two.hosts[1].id(), "STOP");
    until("it counts as gone", || two.told_by(0)[1]["is_gone"] == true);
    let bytes = std::fs::read(component("customer_cautious")).unwrap();
    let url = format!("{}/participants/customer/component", two.hosts[0].admin());
    let applied = request("PUT", &url, &[], &bytes);
    assert_eq!(applied.status, 200, "{}", applied.text());
    let digest = applied.json()["digest"].as_str().unwrap().to_owned();
    let rename = |from: &str, to: &str| {
        let query =
            format!("UPDATE components SET digest = '{to}' WHERE digest = '{from}' RETURNING 1");
        assert_eq!(two.store.number(&query), 1);
    };
    rename(&digest, "elsewhere");
    signal(two.hosts[1].id(), "CONT");
    until("it is not ready, and names the rules", || {
        let (status, reason) = two.readiness(1);
        status == 503 && reason.contains("can't be taken over") && reason.contains("customer")
    });
    let told = two.told_by(0).swap_remove(1);
    assert_eq!(
        (&told["is_gone"], &told["is_current"]),
        (&json!(false), &json!(false))
    );
    assert!(
        told["behind"].as_str().unwrap().contains("customer"),
        "{told}"
    );
    assert_eq!(two.readiness(0).0, 200);
    rename("elsewhere", &digest);
    until("it takes them over", || {
        two.readiness(1).0 == 200 && two.told_by(0)[1]["is_current"] == true
    });
    for host in two.hosts {
        assert!(host.stop().success());
    }
}

#[test]
fn a_store_in_a_directory_has_one_host() {
    let data = tempfile::tempdir().unwrap();
    let asked = || json_of(&mut asks(data.path(), &["hosts"]));
    let host = Start::new(&BOTH, data.path()).start();
    let told = asked();
    let only = &told["hosts"][0];
    assert_eq!(told["hosts"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(
        (&only["is_this"], &only["participants"]),
        (&json!(true), &json!(BOTH))
    );
    assert_eq!(
        duties(std::slice::from_ref(only)),
        ["timers customer", "timers order"]
    );
    assert!(partitions(only) > 0, "{told}");
    assert!(host.stop().success());
    assert_eq!(asked()["hosts"], json!([]));
}
