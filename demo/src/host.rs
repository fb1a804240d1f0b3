//! The host as a child process: started, waited for until it is ready, and drained.
//!
//! Owns: the command line, what stdout promises (`listening NAME URL` and `admin URL`, then `ready`), the
//! log file that stderr goes to, and the signals. The child gets a process group of its own: Ctrl-C in a
//! terminal goes to the whole group, and would otherwise reach the host twice, which means "end now".
//!
//! Must not know: anything of the host but its command line and these promises.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::{mpsc, watch};

use crate::http::Endpoint;
use crate::log::Log;

/// A host that compiles its components anew takes about a second; slow machines take longer.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A drain finishes what is under way; it is not supposed to take this long.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// How to start a host.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The host's binary.
    pub(crate) saga: PathBuf,
    /// The component with the customer's rules.
    pub(crate) customer: PathBuf,
    /// The component with the order's rules.
    pub(crate) order: PathBuf,
    /// Directory for the state and the log; made if missing.
    pub(crate) data: PathBuf,
    /// Port of the customer service; 0 takes a free one.
    pub(crate) customer_port: u16,
    /// Port of the order service; 0 takes a free one.
    pub(crate) order_port: u16,
}

/// A host that is ready. Dropped without [`Host::drain`], it is killed.
#[derive(Debug)]
pub(crate) struct Host {
    /// The customer service.
    pub(crate) customer: Endpoint,
    /// The order service.
    pub(crate) order: Endpoint,
    /// The admin interface, where the host has one.
    pub(crate) admin: Option<Endpoint>,
    /// From the start of the process to `ready`.
    pub(crate) ready_after: Duration,
    process: Process,
    log: Log,
}

impl Launch {
    /// The command line, for people.
    pub(crate) fn command_line(&self) -> String {
        let mut words = vec![self.saga.display().to_string()];
        words.extend(self.arguments());
        words.join(" ")
    }

    /// The state of an earlier run may be there, and the rules of this one are to decide all the same: hence `--apply`.
    fn arguments(&self) -> [String; 12] {
        let Self {
            customer,
            order,
            data,
            customer_port,
            order_port,
            ..
        } = self;
        [
            "run".to_owned(),
            "--apply".to_owned(),
            "--plugin".to_owned(),
            format!("customer={}", customer.display()),
            "--plugin".to_owned(),
            format!("order={}", order.display()),
            "--data".to_owned(),
            data.display().to_string(),
            "--listen".to_owned(),
            format!("customer=127.0.0.1:{customer_port}"),
            "--listen".to_owned(),
            format!("order=127.0.0.1:{order_port}"),
        ]
    }
}

impl Host {
    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// A file is missing, a port is in use, or the host ended or did not get ready; the error then holds the
    /// end of its log.
    pub(crate) async fn start(launch: &Launch) -> Result<Self> {
        check_files(launch)?;
        for (port, flag) in [
            (launch.customer_port, "customer"),
            (launch.order_port, "order"),
        ] {
            check_port(port, flag)?;
        }
        std::fs::create_dir_all(&launch.data)
            .with_context(|| format!("can't make the data directory {}", launch.data.display()))?;
        let log = Log::open(&launch.data.join("host.log"))?;
        let (mut process, mut lines) = Process::spawn(launch, &log)?;
        let start = Instant::now();
        let (mut customer, mut order, mut admin) = (None, None, None);
        let ready = async {
            while let Some(line) = lines.recv().await {
                match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                    ["listening", "customer", url] => customer = Some(Endpoint::parse(url)?),
                    ["listening", "order", url] => order = Some(Endpoint::parse(url)?),
                    ["admin", url] => admin = Some(Endpoint::parse(url)?),
                    ["ready"] => return Ok(()),
                    _ => {}
                }
            }
            let status = process.exited().await;
            bail!("the host ended before it was ready ({status})")
        };
        let ready = match tokio::time::timeout(READY_WITHIN, ready).await {
            Ok(ready) => ready,
            Err(_) => Err(anyhow!(
                "the host was not ready within {} s",
                READY_WITHIN.as_secs()
            )),
        };
        let ready_after = start.elapsed();
        ready.map_err(|error: anyhow::Error| anyhow!("{error:#}\n{}", log.tail()))?;
        let endpoint = |endpoint: Option<Endpoint>, name: &str| {
            endpoint.with_context(|| {
                format!("the host is ready but did not say `listening {name} URL`")
            })
        };
        Ok(Self {
            customer: endpoint(customer, "customer")?,
            order: endpoint(order, "order")?,
            admin,
            ready_after,
            process,
            log,
        })
    }

    /// Process id, for `/proc`.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid.as_raw_nonzero().get()
    }

    /// Where the host's log goes.
    pub(crate) fn log(&self) -> &Path {
        self.log.path()
    }

    /// The end of the host's log, with its path.
    pub(crate) fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Returns when the process has ended by itself.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        self.process.exited().await
    }

    /// Drains the host and waits for its end; when `again` completes first, the host is asked a
    /// second time, which ends it at once.
    ///
    /// # Errors
    /// It did not end in time (it is then killed), or not with exit code 0.
    pub(crate) async fn drain(mut self, again: impl Future<Output = ()>) -> Result<()> {
        self.process.signal(Signal::TERM);
        let process = &mut self.process;
        let exited = async {
            tokio::select! {
                biased;
                status = process.exited() => return status,
                () = again => {}
            }
            process.signal(Signal::TERM);
            process.exited().await
        };
        match tokio::time::timeout(DRAIN_WITHIN, exited).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!(
                "the host ended with {status} when it was asked to drain\n{}",
                self.log.tail()
            ),
            Err(_) => bail!(
                "the host did not end within {} s of being asked to, and was killed\n{}",
                DRAIN_WITHIN.as_secs(),
                self.log.tail()
            ),
        }
    }
}

fn check_files(launch: &Launch) -> Result<()> {
    for (path, flag, build) in [
        (&launch.saga, "--saga", "make build"),
        (&launch.customer, "--customer", "make components"),
        (&launch.order, "--order", "make components"),
    ] {
        ensure!(
            path.is_file(),
            "{} does not exist: build it with `{build}`, or say with {flag} where it is",
            path.display()
        );
    }
    Ok(())
}

/// The host would say it too, but in its own words and in a log.
fn check_port(port: u16, name: &str) -> Result<()> {
    match std::net::TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "port {port} for the {name} service can't be used ({error}): end the program that listens there \
             (`ss -ltnp 'sport = :{port}'` names it), or choose another with --{name}-port"
        ),
    }
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    fn spawn(launch: &Launch, log: &Log) -> Result<(Self, mpsc::Receiver<String>)> {
        let mut child = Command::new(&launch.saga)
            .args(launch.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.writer()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {}", launch.saga.display()))?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("the process has no id")?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        let (send_line, lines) = mpsc::channel(64);
        let (send_status, status) = watch::channel(None);
        thread::Builder::new()
            .name("host-stdout".to_owned())
            .spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // Nobody listens any more once the host is ready; the pipe must be emptied all the same.
                    let _ = send_line.blocking_send(line);
                }
                // An error here means that the process is gone already.
                let ended = child.wait().ok();
                send_status.send_replace(ended);
            })?;
        Ok((Self { pid, status }, lines))
    }

    async fn exited(&mut self) -> ExitStatus {
        match self.status.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_) => ExitStatus::default(),
        }
    }

    /// The id can't belong to another process: it is given anew only after the child was waited for,
    /// and then a status is known.
    fn signal(&self, signal: Signal) {
        if self.status.borrow().is_none() {
            // Fails only if the process ended just now, which is what was wanted.
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.borrow().is_none() {
            // The whole group, so that nothing that the host may have started outlives it.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A launch of the script that stands in for a host.
    pub(crate) fn launch(data: &Path) -> Launch {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/host.sh");
        Launch {
            saga: script.clone(),
            customer: script.clone(),
            order: script,
            data: data.to_owned(),
            customer_port: 0,
            order_port: 0,
        }
    }

    const LISTENING: &str =
        "listening customer http://127.0.0.1:1/c\nlistening order http://127.0.0.1:2/o\n";

    #[tokio::test]
    async fn a_host_is_started_waited_for_and_drained() {
        let data = tempfile::tempdir().unwrap();
        let says = format!("{LISTENING}admin http://127.0.0.1:3\n");
        std::fs::write(data.path().join("stdout"), says).unwrap();
        let host = Host::start(&launch(data.path())).await.unwrap();
        assert_eq!(host.customer.to_string(), "http://127.0.0.1:1/c");
        assert_eq!(host.order.to_string(), "http://127.0.0.1:2/o");
        let admin = host.admin.as_ref().map(ToString::to_string);
        assert_eq!(admin.as_deref(), Some("http://127.0.0.1:3"));
        let log = host.log().to_owned();
        host.drain(std::future::pending()).await.unwrap();
        assert!(std::fs::read_to_string(log).unwrap().contains("drained"));
    }

    #[tokio::test]
    async fn a_host_that_fails_shows_this_starts_log_and_no_older_one() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("fail"), "").unwrap();
        std::fs::write(data.path().join("host.log"), "an older failure\n").unwrap();
        let error = format!("{:#}", Host::start(&launch(data.path())).await.unwrap_err());
        assert!(
            error.contains("before it was ready (exit status: 3)"),
            "{error}"
        );
        assert!(error.contains("| the store is broken"), "{error}");
        assert!(!error.contains("older"), "{error}");
    }

    #[tokio::test]
    async fn a_host_that_does_not_say_where_it_listens_is_refused() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(
            data.path().join("stdout"),
            "listening order http://127.0.0.1:2/o\n",
        )
        .unwrap();
        let error = Host::start(&launch(data.path())).await.unwrap_err();
        assert!(
            error.to_string().contains("listening customer URL"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_missing_and_what_to_do_is_said() {
        let data = tempfile::tempdir().unwrap();
        let missing = Launch {
            saga: data.path().join("no-saga"),
            ..launch(data.path())
        };
        let error = Host::start(&missing).await.unwrap_err().to_string();
        assert!(
            error.contains("no-saga does not exist") && error.contains("--saga"),
            "{error}"
        );

        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let customer_port = taken.local_addr().unwrap().port();
        let in_use = Launch {
            customer_port,
            ..launch(data.path())
        };
        let error = Host::start(&in_use).await.unwrap_err().to_string();
        assert!(error.contains(&format!("port {customer_port}")), "{error}");
        assert!(error.contains("--customer-port"), "{error}");
    }

    #[tokio::test]
    async fn a_host_that_is_dropped_is_killed() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("stdout"), LISTENING).unwrap();
        let host = Host::start(&launch(data.path())).await.unwrap();
        let mut status = host.process.status.clone();
        drop(host);
        let status = *status.wait_for(Option::is_some).await.unwrap();
        assert!(!status.unwrap().success());
        assert!(
            !std::fs::read_to_string(data.path().join("host.log"))
                .unwrap()
                .contains("drained")
        );
    }
}
