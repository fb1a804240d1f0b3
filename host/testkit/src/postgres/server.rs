//! A server: start, stop, crash, pause.
//!
//! Owns: its directory (`data/`, `log`), its port and its processes. Passwords are checked
//! (SCRAM-SHA-256) on every connection. All calls may come from any thread.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::keeper::Keeper;
use super::programs::{Programs, Unavailable};
use crate::ports;
use crate::process::{Failure, LoggedProcess};
use crate::usage;

/// Longest start. It takes less than a second on two cores; after a crash, the log is read again.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Longest stop. It writes what is in memory.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// Longest wait for the processes of a killed server to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The log line of a server that is ready.
const READY: &str = "database system is ready to accept";

/// The log line of a server whose port is in use.
const IN_USE: &str = "Address already in use";

/// Number of starts with other ports.
const STARTS: usize = 3;

/// The user that owns everything, and its password.
const USER: &str = "saga";
const PASSWORD: &str = "secret";

/// The database that every server has.
const DATABASE: &str = "postgres";

/// The errors of servers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The server, or a file of it, could not be handled.
    #[error("the PostgreSQL server: {0}")]
    Server(#[from] Failure),
    /// One of its programs failed.
    #[error("{name} failed ({status}) and said:\n{said}")]
    Program {
        /// Its name.
        name: &'static str,
        /// Its exit status.
        status: String,
        /// Its output.
        said: String,
    },
    /// There is no free port.
    #[error("can't find a free port on 127.0.0.1")]
    NoPort,
}

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Write through to the disk at each commit. Without it a server is faster, and a crash of the
    /// machine, not of the server, loses data.
    pub fsync: bool,
    /// Further settings of `postgresql.conf`, by name. They win over those of the testkit.
    pub further: Vec<(String, String)>,
    /// Where its own directory is made; None for that of temporary files. A server that root starts
    /// runs as another user, who must be able to enter it.
    pub place: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fsync: true,
            further: Vec::new(),
            place: None,
        }
    }
}

/// A server. On drop it ends, and its directory is removed.
#[derive(Debug)]
pub struct Server {
    // Dropped before the keeper, which removes its directory.
    process: Mutex<Option<LoggedProcess>>,
    _keeper: Keeper,
    programs: Programs,
    settings: Settings,
    port: u16,
    home: PathBuf,
}

impl Server {
    /// Makes a cluster, starts its server and waits until it is ready.
    ///
    /// # Errors
    /// The programs are missing, or one of them failed; with its output.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let programs = Programs::find()?;
        let place = settings.place.clone().unwrap_or_else(std::env::temp_dir);
        let home = home(&programs, &place)?;
        let keeper = Keeper::of(&home).map_err(Failure::at("can't start a keeper of", &home))?;
        let mut server = Self {
            process: Mutex::new(None),
            _keeper: keeper,
            programs,
            settings: settings.clone(),
            port: 0,
            home,
        };
        server.make_cluster()?;
        for start in 1.. {
            server.port = ports::free(1).pop().ok_or(Error::NoPort)?;
            match server.start_again() {
                Err(Error::Server(Failure::Ended { tail, .. }))
                    if tail.contains(IN_USE) && start < STARTS => {}
                started => {
                    started?;
                    break;
                }
            }
        }
        Ok(server)
    }

    /// Starts it on the same port and data, after [`kill`](Self::kill) or [`stop`](Self::stop), and
    /// waits until it is ready.
    ///
    /// # Errors
    /// It does not start; with the end of its log.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut process = self.lock();
        let mut command = self.programs.command("postgres");
        command.arg("-D").arg(self.data()).process_group(0);
        for (name, value) in self.configuration() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let mut started = LoggedProcess::start(command, &self.home.join(LOG))?;
        started.until_it_says(READY, 1, READY_WITHIN)?;
        *process = Some(started);
        Ok(())
    }

    /// Stops it and starts it again: connections are closed.
    ///
    /// # Errors
    /// It does not stop or start; with the end of its log.
    pub fn restart(&self) -> Result<(), Error> {
        self.stop()?;
        self.start_again()
    }

    /// Ends all connections and transactions, and waits for its end.
    ///
    /// # Errors
    /// It does not end in time, and is killed.
    pub fn stop(&self) -> Result<(), Error> {
        self.resume();
        match self.lock().take() {
            Some(process) => Ok(process.stop(Signal::INT, STOPPED_WITHIN)?),
            None => Ok(()),
        }
    }

    /// Kills all its processes at once, which is like a crash of the machine but for what the
    /// system keeps in memory.
    pub fn kill(&self) {
        let Some(mut process) = self.lock().take() else {
            return;
        };
        // It makes no further processes while they are looked up.
        process.signal(Signal::STOP);
        let children = children(process.id());
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        drop(process);
        let until = Instant::now() + GONE_WITHIN;
        while children.iter().any(|child| is_there(*child)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Pauses all its processes: connections stay open, but nothing is answered.
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Resumes it after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The URL of its database, with user and password; the user owns everything.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The same through another address, such as that of a proxy.
    #[must_use]
    pub fn url_at(&self, address: SocketAddr) -> String {
        format!("postgres://{USER}:{PASSWORD}@{address}/{DATABASE}")
    }

    /// Its process id; None while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(LoggedProcess::id)
    }

    /// Its log of all starts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.home.join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.home
    }

    /// Runs SQL with `psql`; returns the rows without decoration.
    ///
    /// # Errors
    /// The SQL, or the connection, failed; with the output.
    pub fn sql(&self, text: &str) -> Result<String, Error> {
        self.sql_as(&self.url(), text)
    }

    /// The same over this URL, as another user or in another database.
    ///
    /// # Errors
    /// As for [`Server::sql`].
    pub fn sql_as(&self, url: &str, text: &str) -> Result<String, Error> {
        let mut psql = self.programs.command("psql");
        psql.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            text,
        ]);
        self.run("psql", &mut psql)
    }

    fn make_cluster(&self) -> Result<(), Error> {
        let password = self.home.join("password");
        self.give(&password, format!("{PASSWORD}\n").as_bytes())?;
        let mut initdb = self.programs.command("initdb");
        initdb
            .arg("-D")
            .arg(self.data())
            .args(["--username", USER, "--auth", "scram-sha-256"])
            .args([
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
                "--no-instructions",
            ])
            .arg("--pwfile")
            .arg(&password);
        self.run("initdb", &mut initdb).map(drop)
    }

    /// Writes a file that belongs to the server's user and that nobody else can read, such as the
    /// key of a certificate.
    ///
    /// # Errors
    /// It can't be written.
    pub fn give(&self, file: &Path, bytes: &[u8]) -> Result<(), Error> {
        let failed = || Failure::at("can't write", file);
        std::fs::write(file, bytes).map_err(failed())?;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file, private).map_err(failed())?;
        own(&self.programs, file)
    }

    fn run(&self, name: &'static str, command: &mut Command) -> Result<String, Error> {
        let program = PathBuf::from(command.get_program());
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(Failure::at("can't start", &program))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(text),
            false => Err(Error::Program {
                name,
                status: output.status.to_string(),
                said: text + &String::from_utf8_lossy(&output.stderr),
            }),
        }
    }

    /// The settings: those of a small server of tests, then those that were asked for.
    fn configuration(&self) -> Vec<(String, String)> {
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("shared_buffers", "64MB"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("max_wal_size", "2GB"),
            ("checkpoint_timeout", "30min"),
            ("log_checkpoints", "off"),
            ("fsync", if self.settings.fsync { "on" } else { "off" }),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let further = self.settings.further.iter().cloned();
        own.into_iter().chain(further).collect()
    }

    fn signal_all(&self, signal: Signal) {
        let mut process = self.lock();
        let Some(process) = process.as_mut() else {
            return;
        };
        // First the one that makes others, so that none is missed.
        process.signal(signal);
        for child in children(process.id()) {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(child, signal);
        }
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn lock(&self) -> MutexGuard<'_, Option<LoggedProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.resume();
        if let Some(process) = self.lock().take() {
            // At once, without writing what is in memory; but it frees its shared memory.
            let _ = process.stop(Signal::QUIT, GONE_WITHIN);
        }
    }
}

/// Name of the log in the directory.
const LOG: &str = "log";

/// A directory that belongs to the server's user. The keeper removes it.
fn home(programs: &Programs, place: &Path) -> Result<PathBuf, Error> {
    let home = tempfile::Builder::new()
        .prefix("saga-postgres-")
        .tempdir_in(place)
        .map_err(Failure::at("can't make a directory in", place))?;
    own(programs, home.path())?;
    Ok(home.keep())
}

/// Gives a file or directory to the server's user.
fn own(programs: &Programs, path: &Path) -> Result<(), Error> {
    let Some((user, group)) = programs.user else {
        return Ok(());
    };
    let given = std::os::unix::fs::chown(path, Some(user), Some(group));
    given.map_err(Failure::at("can't give away", path))?;
    Ok(())
}

/// The processes that a process has made.
fn children(parent: u32) -> Vec<Pid> {
    let all = usage::children(parent).into_iter();
    all.filter_map(|stat| Pid::from_raw(stat.pid)).collect()
}

/// True if a process runs.
fn is_there(pid: Pid) -> bool {
    let process = procfs::process::Process::new(pid.as_raw_nonzero().get());
    let stat = process.and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state != 'Z')
}
