//! A PostgreSQL server starts, checks passwords, keeps its data over a crash, a stop and a pause, and
//! ends with the program; the proxy breaks connections at the chosen message. Skipped with one line
//! if PostgreSQL is not installed; on CI that is a failure.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use saga_testkit::postgres::{self, Proxy, Server, Settings, Trigger, What};
use tokio_postgres::{Client, NoTls, Statement};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The variable that makes the test program another one, which is killed.
const VICTIM: &str = "POSTGRES_VICTIM";

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn quick() -> Settings {
    Settings {
        fsync: false,
        ..Settings::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

async fn client(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[test]
fn data_survives_a_crash_a_stop_and_a_pause() {
    if !postgres::can_run() {
        return;
    }
    let server = Server::start(&Settings::default()).unwrap();
    assert_eq!(server.sql("SHOW fsync").unwrap(), "on\n");
    server.sql("CREATE TABLE t (n integer)").unwrap();
    server.sql("INSERT INTO t VALUES (1)").unwrap();
    let first = server.pid().unwrap();
    server.kill();
    assert_eq!(server.pid(), None);
    let error = server.sql("SELECT 1").unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
    server.start_again().unwrap();
    assert_ne!(server.pid(), Some(first));
    assert!(server.log().contains("not properly shut down"));
    server.sql("INSERT INTO t VALUES (2)").unwrap();
    server.restart().unwrap();
    runtime().block_on(async {
        let client = client(&server.url()).await.unwrap();
        server.pause();
        let asked = client.query_one("SELECT count(*) FROM t", &[]);
        tokio::pin!(asked);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut asked).await;
        assert!(early.is_err(), "nothing is answered in a pause");
        server.resume();
        assert_eq!(asked.await.unwrap().get::<_, i64>(0), 2);
    });
    let error = server.sql("none").unwrap_err().to_string();
    assert!(error.contains("syntax error"), "{error}");
    let directory = server.directory().to_owned();
    drop(server);
    assert!(!directory.exists(), "its directory is left");
}

#[test]
fn a_wrong_password_is_refused_and_a_server_that_cannot_start_says_why() {
    if !postgres::can_run() {
        return;
    }
    let server = Server::start(&quick()).unwrap();
    assert_eq!(server.sql("SHOW fsync").unwrap(), "off\n");
    let wrong = server.url().replace(":secret@", ":wrong@");
    let error = server.sql_as(&wrong, "SELECT 1").unwrap_err().to_string();
    assert!(error.contains("password authentication failed"), "{error}");
    server
        .sql("CREATE ROLE other LOGIN PASSWORD 'else'")
        .unwrap();
    let other = server.url().replace("saga:secret@", "other:else@");
    let user = server.sql_as(&other, "SELECT current_user").unwrap();
    assert_eq!(user, "other\n");
    let broken = Settings {
        further: vec![("shared_buffers".into(), "none".into())],
        ..quick()
    };
    let error = Server::start(&broken).unwrap_err().to_string();
    assert!(error.contains("invalid value for parameter"), "{error}");
}

/// Not a test of its own: the program that [`a_server_ends_with_its_program`] kills.
#[test]
fn victim() {
    let Some(file) = std::env::var_os(VICTIM) else {
        return;
    };
    let server = Server::start(&quick()).unwrap();
    let text = format!("{} {}", server.pid().unwrap(), server.directory().display());
    server.pause();
    std::fs::write(Path::new(&file).with_extension("new"), text).unwrap();
    std::fs::rename(Path::new(&file).with_extension("new"), file).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_server_ends_with_its_program_even_if_that_is_killed() {
    if !postgres::can_run() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("victim");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim"])
        .env(VICTIM, &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("it did not start", || file.exists());
    let text = std::fs::read_to_string(&file).unwrap();
    let (pid, home) = text.split_once(' ').unwrap();
    let (process, home) = (PathBuf::from(format!("/proc/{pid}")), Path::new(home));
    assert!(process.exists() && home.exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    let stat = || std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    until("its server still runs, although it was paused", || {
        let stat = stat();
        stat.is_empty() || stat.contains(") Z ")
    });
    until("the server's directory is left", || !home.exists());
}

/// A table of a server, and a client that writes to it through a proxy.
struct Way {
    server: Server,
    proxy: Proxy,
}

impl Way {
    fn new() -> Self {
        let server = Server::start(&quick()).unwrap();
        server.sql("CREATE TABLE t (n integer)").unwrap();
        let proxy = Proxy::before(server.address()).unwrap();
        Self { server, proxy }
    }

    fn url(&self) -> String {
        self.server.url_at(self.proxy.address())
    }

    fn rows(&self) -> String {
        let rows = "SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') FROM t";
        self.server.sql(rows).unwrap().trim().to_owned()
    }

    fn on(&self, kind: u8, nth: usize, what: What) {
        self.proxy.on(Trigger {
            kind,
            about: Some("INSERT INTO t".into()),
            nth,
            what,
        });
    }
}

#[test]
fn a_connection_is_cut_before_a_message_or_before_its_answer() {
    if !postgres::can_run() {
        return;
    }
    let way = Way::new();
    runtime().block_on(async {
        let mut happened = 0;
        for (kind, what, expected) in [
            (b'S', What::CutBefore, "1"),
            (b'S', What::CutBeforeAnswer, "1 2"),
            (b'E', What::CutBefore, "1"),
            (b'E', What::CutBeforeAnswer, "1 2"),
        ] {
            way.server.sql("TRUNCATE t").unwrap();
            let client = client(&way.url()).await.unwrap();
            let insert = "INSERT INTO t VALUES ($1)";
            let insert = client.prepare(insert).await.unwrap();
            way.on(kind, 2, what);
            client.execute(&insert, &[&1]).await.unwrap();
            client.query_one("SELECT 1", &[]).await.unwrap();
            let cut = client.execute(&insert, &[&2]).await.unwrap_err();
            assert!(cut.as_db_error().is_none(), "{cut}");
            assert!(client.is_closed());
            happened += 1;
            assert!(way.proxy.wait_for(happened, PATIENCE));
            // The server has noticed that the connection is lost.
            let others = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT%'";
            until("the session is left", || {
                way.server.sql(others).unwrap() == "0\n"
            });
            assert_eq!(way.rows(), expected, "{kind} {what:?}");
        }
        assert_eq!(way.proxy.connections(), 4);
    });
}

/// Runs a test with a client whose statement inserts a number by way of the proxy.
fn inserting(test: impl AsyncFnOnce(&Way, &Client, &Statement)) {
    if !postgres::can_run() {
        return;
    }
    let way = Way::new();
    runtime().block_on(async {
        let client = client(&way.url()).await.unwrap();
        let insert = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
        test(&way, &client, &insert).await;
    });
}

#[test]
fn answers_to_earlier_requests_come_before_a_cut() {
    inserting(async |way, client, insert| {
        way.on(b'S', 3, What::CutBeforeAnswer);
        // All are on their way at once.
        let (one, two, three, four) = tokio::join!(
            client.execute(insert, &[&1]),
            client.execute(insert, &[&2]),
            client.execute(insert, &[&3]),
            client.execute(insert, &[&4]),
        );
        assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
        assert!(three.is_err() && four.is_err());
        assert!(way.rows().starts_with("1 2 3"), "{}", way.rows());
    });
}

#[test]
fn a_stalled_connection_goes_on_when_it_flows() {
    inserting(async |way, client, insert| {
        way.on(b'B', 1, What::Stall);
        let written = client.execute(insert, &[&1]);
        tokio::pin!(written);
        let early = tokio::time::timeout(Duration::from_millis(200), &mut written).await;
        assert!(early.is_err() && way.proxy.happened() == 1);
        assert_eq!(way.rows(), "");
        way.proxy.flow();
        assert_eq!(written.await.unwrap(), 1);
        assert_eq!(way.rows(), "1");
        // At any time, and nothing is answered.
        way.proxy.stall();
        let asked = client.query_one("SELECT 1", &[]);
        tokio::pin!(asked);
        let early = tokio::time::timeout(Duration::from_millis(100), &mut asked).await;
        assert!(early.is_err());
        way.proxy.cut_all();
        assert!(asked.await.is_err());
    });
}

#[test]
fn all_tests_of_a_process_share_one_server() {
    if !postgres::can_run() {
        return;
    }
    assert_eq!(postgres::url(), postgres::url());
    runtime().block_on(async {
        let client = client(&postgres::url()).await.unwrap();
        let version = client.query_one("SHOW server_version_num", &[]).await;
        let version: String = version.unwrap().get(0);
        assert!(version.parse::<u32>().unwrap() >= 150_000, "{version}");
    });
}
