//! A lack of the machine is never charged to a message (invariant 12): what can't work is said at the start, and what
//! fails later is tried again until it works.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::expect::{address, broke, problem, until};
use crate::exposition::Exposition;
use crate::store_file::{publish, record, rows, until_consumed};
use crate::support::{Host, Response, Start, output, request};

/// The program of `start` under a limit of the shell's `ulimit`.
fn limited(start: &Start, limit: &str) -> Command {
    start.after(&format!("ulimit {limit}"))
}

/// Starts it under a limit, expecting that it ends by itself with 70; gives what it says last.
fn refused(start: &Start, limit: &str) -> String {
    let mut command = limited(start, limit);
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped());
    let out = tempfile::NamedTempFile::new().unwrap();
    let child = child.stdout(out.reopen().unwrap()).spawn().unwrap();
    let (status, said) = output(child);
    assert_eq!(status.code(), Some(70), "{said}");
    assert_eq!(
        std::fs::read_to_string(out.path()).unwrap(),
        "",
        "it was not ready"
    );
    said.lines().last().unwrap().to_owned()
}

/// Sets a limit of a process that this test started, and leaves what it may be raised to.
fn limit(host: &Host, resource: Resource, current: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(host.id()).unwrap());
    let maximum = getrlimit(resource).maximum;
    prlimit(pid, resource, Rlimit { current, maximum }).unwrap();
}

fn readyz(host: &Host) -> Response {
    request("GET", &format!("{}/readyz", host.admin()), &[], b"")
}

/// Waits until the host says that the machine lacks this.
fn until_lacking(host: &Host, what: &str) {
    until(&format!("the host lacks {what}"), || {
        let told = readyz(host);
        let reason = told.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            told.status == 200 || reason.starts_with("the machine lacks "),
            "{}",
            told.text()
        );
        told.status == 503 && reason.contains(what)
    });
    assert_eq!(lacking(host), 1.0);
}

fn until_ready(host: &Host) {
    until("the host is ready again", || readyz(host).status == 200);
    assert_eq!(lacking(host), 0.0);
    let log = host.log();
    for said in [
        "the machine lacks a resource",
        "the machine has the resource again",
    ] {
        assert_eq!(log.matches(said).count(), 1, "{said}:\n{log}");
    }
}

fn lacking(host: &Host) -> f64 {
    scrape(host).one("saga_machine_lacking", &[])
}

fn scrape(host: &Host) -> Exposition {
    let told = request("GET", &format!("{}/metrics", host.admin()), &[], b"");
    Exposition::read(&told.text(), false)
}

#[test]
fn invariant_12_too_little_address_space_is_said_at_the_start_with_the_limit() {
    let data = tempfile::tempdir().unwrap();
    let start = Start::new(&["booking", "mischief"], data.path())
        .setting("instances", 2)
        .setting("guest.memory_bytes", 1_u64 << 30);
    let said = refused(&start, "-v 3500000");
    for part in [
        ": instance ",
        " of 4 of the rules can't be created for lack of memory: ",
        "address space is limited to 3584 MB (ulimit -v); the host needs about ",
        "raise the limit, or lower `instances` (2) or `guest.memory_bytes`",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // Nothing has become active: it starts where there is room.
    assert!(start.start().stop().success());
}

#[test]
fn invariant_12_too_few_file_descriptors_are_said_at_the_start_with_the_limit() {
    let data = tempfile::tempdir().unwrap();
    let start = Start::new(&["booking"], data.path()).setting("instances", 2);
    let said = refused(&start, "-n 80");
    assert!(
        said.contains("80 files may be open (ulimit -n); the host needs about 104"),
        "{said}"
    );
}

#[test]
fn with_limited_address_space_instances_reserve_only_their_limit() {
    let data = tempfile::tempdir().unwrap();
    let start = Start::new(&["mischief"], data.path());
    assert!(start.start().stop().success());
    let body = |word: &str| record(json!({"key": "k", "do": word}).to_string());
    publish(data.path(), "mischiefTopic", &vec![body("count"); 20]);
    publish(
        data.path(),
        "mischiefTopic",
        &[body("allocate"), body("count")],
    );
    let start =
        (start.setting("instances", 4).setting("log.level", "debug")).setting("retry.then", "skip");
    let host = Host::from_command(limited(&start, "-v 8000000"), data.path());
    until_consumed(data.path(), "mischiefTopic");
    assert_eq!(host.get("mischief", "/acts/k/look").json()["count"], 21);
    let answer = host.post("mischief", "/acts/k", &json!({"do": "allocate"}));
    broke(&answer, "out-of-memory");
    host.log_until("reservation=Small");
    // Room for all instances of another generation too.
    let told = host.get("mischief", "/acts/k/look");
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(host.stop().success());
    let letters = rows(data.path(), "SELECT reason FROM dead_letters");
    assert_eq!(letters, [["out-of-memory"]], "its own limit is the guest's");
}

/// A participant that publishes what it counts to another one that counts too, sets timers and can be broken.
fn two(data: &Path) -> Host {
    let file = |name: &str| data.join(name);
    Chameleon::new()
        .with(publishing())
        .write(&file("chameleon.wasm"));
    Chameleon::new()
        .with(listening())
        .write(&file("steady.wasm"));
    let plugin = format!("steady={}", file("steady.wasm").display());
    chameleon::start(&file("chameleon.wasm"), data)
        .arguments(&["--plugin", &plugin, "--listen", "steady=127.0.0.1:0"])
        .setting("instances", 1)
        .setting("retry.attempts", 2)
        .setting("reload.watch_ms", 0)
        .start()
}

fn publishing() -> Value {
    json!({
        "publications": [{"event_type": "told", "topic": "toldTopic"}],
        "handle": {"count": [
            {"count": 1},
            {"publish": {"event_type": "told", "key": "k", "body": {"key": "k"}}},
        ]},
    })
}

fn listening() -> Value {
    let command = |name: &str, method: &str, kind: &str| json!({"name": name, "method": method, "path": "/counters/{key}", "kind": kind});
    json!({
        "name": "steady",
        "subscriptions": [{"event_type": "told", "topic": "toldTopic", "group": "steady"}],
        "publications": [],
        "commands": [
            command("set", "POST", "change"),
            command("break", "DELETE", "change"),
            command("look", "GET", "read"),
        ],
        "handle": {
            "set": [{"count": 100}, {"set-timer": {"name": "later", "after_ms": 1_500}}],
            "break": "trap",
        },
    })
}

#[test]
fn invariant_12_memory_that_the_machine_lacks_holds_turns_back_and_is_charged_to_none() {
    let data = tempfile::tempdir().unwrap();
    let host = two(data.path());
    let counted = |key: &str, wanted: u64| {
        host.get_until("steady", &format!("/counters/{key}"), |told| {
            told.status == 200 && told.json()["count"] == wanted
        });
    };
    chameleon::count(&host, "a");
    counted("k", 1);
    let set = host.post("steady", "/counters/t", &json!({}));
    assert_eq!(set.status, 200, "{}", set.text());
    // Its instance is gone, since there is no state that could be to blame; there is room for everything but another one.
    broke(&host.send("steady", "DELETE", "/counters/none", ""), "trap");
    let room = host.address_space() + (512 << 20);
    limit(&host, Resource::As, Some(room));
    for _ in 0..20 {
        chameleon::count(&host, "a");
    }
    until_lacking(&host, "memory: Cannot allocate memory");
    for (method, path) in [("GET", "/counters/k"), ("POST", "/counters/other")] {
        let answer = host.send("steady", method, path, "");
        let detail = problem(&answer, 503, "try-later");
        assert!(detail.contains("the machine lacks memory: "), "{detail}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // A candidate is not refused for it either.
    let other = Chameleon::new().with(listening()).version("2.0.0").bytes();
    let url = format!("{}/participants/steady/component", host.admin());
    let offered = request("PUT", &url, &[], &other);
    let detail = problem(&offered, 500, "swap-failed");
    assert!(detail.contains("the machine lacks memory"), "{detail}");
    // More attempts than a message has.
    for (origin, attempts) in [("event", 5.0), ("timer", 4.0)] {
        let of = [
            ("participant", "steady"),
            ("origin", origin),
            ("outcome", "retry"),
        ];
        until(&format!("it is tried again: {origin}"), || {
            scrape(&host).sum("saga_turns_total", &of) >= attempts
        });
    }
    assert!(rows(data.path(), "SELECT * FROM dead_letters").is_empty());
    limit(&host, Resource::As, None);
    counted("k", 1 + 20);
    counted("t", 100 + 1);
    let faults = scrape(&host).sum("saga_faults_total", &[]);
    assert_eq!(faults, 1.0, "the one that it was asked for");
    until_ready(&host);
    let offered = request("PUT", &url, &[], &other);
    assert_eq!(offered.status, 200, "{}", offered.text());
    assert!(host.stop().success());
    assert!(rows(data.path(), "SELECT * FROM dead_letters").is_empty());
    assert!(rows(data.path(), "SELECT * FROM refused_components").is_empty());
}

#[test]
fn with_fewer_descriptors_than_connections_clients_wait_and_the_host_stays_ready() {
    let data = tempfile::tempdir().unwrap();
    let start = Start::new(&["booking"], data.path()).setting("instances", 2);
    let host = Host::from_command(limited(&start, "-n 130"), data.path());
    let said = "clients beyond `connections` wait limit=130 wanted=1024 connections=26";
    assert!(host.log().contains(said), "{}", host.log());
    let address = address(host.url("booking"));
    let idle: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let taken = [("participant", "booking")];
    until("as many are taken as there are files for", || {
        scrape(&host).one("saga_http_connections", &taken) == 26.0
    });
    assert_eq!((readyz(&host).status, lacking(&host)), (200, 0.0));
    drop(idle);
    assert_eq!(host.get("booking", "/rooms/A").status, 404);
    assert!(host.stop().success());
}

#[test]
fn invariant_12_threads_that_the_machine_lacks_end_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = two(data.path());
    assert_eq!(readyz(&host).status, 200);
    // After ten seconds without work tokio gives its threads up, unless it is told not to.
    std::thread::sleep(std::time::Duration::from_secs(11));
    // Less than the stack of a thread.
    let room = host.address_space() + 1_500_000;
    limit(&host, Resource::As, Some(room));
    assert_eq!(readyz(&host).status, 200);
    let other = Chameleon::new().with(publishing()).version("2.0.0");
    let offered = chameleon::apply(&host, &other);
    let detail = problem(&offered, 500, "swap-failed");
    assert!(detail.contains("no threads can be started"), "{detail}");
    assert_eq!(chameleon::count(&host, "k")["count"], 1);
    limit(&host, Resource::As, None);
    chameleon::swap(&host, &other);
    assert_eq!(chameleon::count(&host, "k")["count"], 2);
    assert!(host.stop().success());
}

#[test]
fn invariant_12_descriptors_that_the_machine_lacks_keep_clients_waiting_and_the_monitor_answered() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let put = host.send("booking", "PUT", "/rooms", r#"{"code":"A","seats":4}"#);
    assert_eq!(put.status, 201, "{}", put.text());
    assert_eq!(readyz(&host).status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", host.id()))
        .unwrap()
        .count() as u64;
    limit(&host, Resource::Nofile, Some(open + 3));
    let address = address(host.url("booking"));
    let idle: Vec<_> = (0..12)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    until_lacking(&host, "file descriptors: Too many open files");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.get("booking", "/rooms/A"));
        until_lacking(&host, "file descriptors");
        limit(&host, Resource::Nofile, Some(1_024));
        let answer = waiting.join().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    });
    drop(idle);
    until_ready(&host);
    assert!(host.stop().success());
}
