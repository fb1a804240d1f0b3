//! A broker: start, stop, crash, pause.
//!
//! Owns: its directory (`server.properties`, `data/`, `broker.log`, certificates), its ports and
//! its JVM. An existing directory is used again: its topics and offsets are kept, on other ports.
//! All calls may come from any thread.
//!
//! Must not know: topics, clients.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::broker::certificates::{Authority, Validity};
use crate::broker::error::Error;
use crate::broker::jars::Java;
use crate::broker::properties::{self, Ports, Stores};
use crate::broker::settings::Settings;
use crate::broker::tools;
use crate::ports;
use crate::process::LoggedProcess;

/// Longest start. It takes 2 to 4 seconds on two cores, and longer while other programs compile.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Longest stop. It takes less than a second.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// The log line of a broker that is ready.
const READY: &str = "Kafka Server started";

/// The log line of each network thread that has loaded another certificate.
const CERTIFIED: &str = "Created new SERVER SSL engine builder";

/// Longest wait for that, which takes a second.
const CERTIFIED_WITHIN: Duration = Duration::from_secs(30);

/// The listeners with TLS.
const LISTENERS: [&str; 3] = ["tls", "mutual", "sasltls"];

/// The log line of a broker whose port is in use.
const IN_USE: &str = "Address already in use";

/// Number of starts with other ports.
const STARTS: usize = 3;

/// A broker. On drop it is killed, and a temporary directory is removed.
#[derive(Debug)]
pub struct Broker {
    // Dropped before the directory, which it writes to.
    process: Mutex<Option<LoggedProcess>>,
    java: Java,
    settings: Settings,
    ports: Ports,
    bootstrap: String,
    authority: Option<Authority>,
    home: PathBuf,
    _temporary: Option<TempDir>,
}

impl Broker {
    /// Starts a broker and waits until it is ready.
    ///
    /// # Errors
    /// Java or the jars are missing, or it does not start; with the end of its log.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let java = Java::with_jars()?;
        let (home, temporary) = home(settings)?;
        let authority = match &settings.security {
            None => None,
            Some(security) => {
                let authority = Authority::make(&home, "authority")?;
                authority.server(&home.join(SERVER), security.certificate)?;
                Some(authority)
            }
        };
        let mut broker = Self {
            process: Mutex::new(None),
            java,
            settings: settings.clone(),
            ports: choose(settings)?,
            bootstrap: String::new(),
            authority,
            home,
            _temporary: temporary,
        };
        for start in 1.. {
            broker.bootstrap = broker.address(broker.ports.plain);
            broker.configure()?;
            match broker.start_again() {
                Err(Error::Broker { tail, .. }) if tail.contains(IN_USE) && start < STARTS => {
                    broker.ports = choose(settings)?;
                }
                started => {
                    started?;
                    break;
                }
            }
        }
        Ok(broker)
    }

    /// Starts it on the same ports and data, after [`kill`](Self::kill) or [`stop`](Self::stop),
    /// and waits until it is ready. If it runs, it is killed first.
    ///
    /// # Errors
    /// It does not start; with the end of its log.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut process = self.lock();
        // Two JVMs on the same data would both fail.
        *process = None;
        let mut options = vec![
            "-Xms128m".to_owned(),
            "-Xmx384m".to_owned(),
            "-Dorg.slf4j.simpleLogger.logFile=System.out".to_owned(),
            "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS".to_owned(),
        ];
        let tokens =
            (self.settings.security.as_ref()).and_then(|security| security.tokens.as_ref());
        if let Some(tokens) = tokens {
            options.push(format!(
                "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={}",
                tokens.keys
            ));
        }
        options.extend(self.settings.jvm.clone());
        let mut command = self.java.class("kafka.Kafka", &options);
        command.arg(self.home.join(PROPERTIES));
        let mut started = LoggedProcess::start_bound(&command, &self.home.join(LOG))?;
        started.until_it_says(READY, 1, READY_WITHIN)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.plain));
        TcpStream::connect(address).map_err(|source| Error::Io {
            what: format!("the broker says that it is ready, and {address} can't be connected to"),
            source,
        })?;
        *process = Some(started);
        Ok(())
    }

    /// The plain listener: `HOST:PORT`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The listener with TLS; the certificate names 127.0.0.1 and `localhost`.
    ///
    /// # Errors
    /// The broker is not secured.
    pub fn tls(&self) -> Result<String, Error> {
        self.secured(|[tls, ..]| tls)
    }

    /// The listener with TLS that requires a certificate of the client.
    ///
    /// # Errors
    /// The broker is not secured.
    pub fn mutual_tls(&self) -> Result<String, Error> {
        self.secured(|[_, mutual, ..]| mutual)
    }

    /// The listener with SASL without TLS.
    ///
    /// # Errors
    /// The broker is not secured.
    pub fn sasl(&self) -> Result<String, Error> {
        self.secured(|[_, _, sasl, _]| sasl)
    }

    /// The listener with SASL over TLS.
    ///
    /// # Errors
    /// The broker is not secured.
    pub fn sasl_tls(&self) -> Result<String, Error> {
        self.secured(|[.., sasl_tls]| sasl_tls)
    }

    /// The authority of the broker's certificate, and of the client certificates that it accepts.
    ///
    /// # Errors
    /// The broker is not secured.
    pub fn authority(&self) -> Result<&Authority, Error> {
        self.authority.as_ref().ok_or(Error::NotConfigured("TLS"))
    }

    /// Replaces the broker's certificate. Open connections stay. A running broker loads it at once,
    /// any other at its next start.
    ///
    /// # Errors
    /// The broker is not secured, or doesn't load it.
    pub fn certify(&self, validity: Validity) -> Result<(), Error> {
        let file = self.home.join(SERVER);
        self.authority()?.server(&file, validity)?;
        let taken = |process: &LoggedProcess| process.times_it_said(CERTIFIED);
        let Some(before) = self.lock().as_ref().map(taken) else {
            return Ok(());
        };
        let places = LISTENERS.map(|listener| {
            format!(
                "listener.name.{listener}.ssl.keystore.location={}",
                file.display()
            )
        });
        let config = places.join(",");
        let broker = ["--entity-type", "brokers", "--entity-name", "1"];
        let change = ["--alter", "--add-config", &config];
        self.tool("kafka-configs", &[broker.as_slice(), &change].concat(), "")?;
        // The tool ends when the setting is stored; each network thread of each listener loads it
        // later.
        let threads = self.settings.properties.get("num.network.threads");
        let threads = threads
            .and_then(|threads| threads.parse().ok())
            .unwrap_or(properties::NETWORK_THREADS);
        let times = before + LISTENERS.len() * threads;
        match self.lock().as_mut() {
            Some(process) => Ok(process.until_it_says(CERTIFIED, times, CERTIFIED_WITHIN)?),
            None => Ok(()),
        }
    }

    /// Kills it, which is like a crash.
    pub fn kill(&self) {
        *self.lock() = None;
    }

    /// Kills it and empties its disk. The next start is at the same address and as the same
    /// cluster.
    ///
    /// # Errors
    /// The disk can't be emptied.
    pub fn lose_disk(&self) -> Result<(), Error> {
        self.kill();
        let data = self.home.join("data");
        std::fs::remove_dir_all(&data).map_err(Error::at("can't remove", &data))?;
        self.configure()
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Errors
    /// It does not end in time, and is killed.
    pub fn stop(&self) -> Result<(), Error> {
        let process = self.lock().take();
        process.map_or(Ok(()), |process| {
            Ok(process.stop(Signal::TERM, STOPPED_WITHIN)?)
        })
    }

    /// Pauses it: connections stay open, but nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes it after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
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

    /// Runs one of Kafka's own tools (`kafka-topics`, `kafka-console-consumer`, ...) on the plain
    /// listener; returns its standard output.
    ///
    /// # Errors
    /// The tool is unknown, failed, or did not end within a minute; with its output.
    pub fn tool(&self, name: &str, arguments: &[&str], stdin: &str) -> Result<String, Error> {
        tools::run_with(&self.java, Some(&self.bootstrap), name, arguments, stdin)
    }

    /// Writes the configuration, and formats the storage if that has not been done.
    fn configure(&self) -> Result<(), Error> {
        let (data, file) = (self.home.join("data"), self.home.join(PROPERTIES));
        let key = self.home.join(SERVER);
        let stores = self.authority.as_ref().map(|authority| Stores {
            key: &key,
            trust: authority.file(),
        });
        let text = properties::text(&self.settings, self.ports, &data, stores.as_ref());
        std::fs::write(&file, text).map_err(Error::at("can't write", &file))?;
        if data.join("meta.properties").exists() {
            return Ok(());
        }
        let config = file.display().to_string();
        let mut arguments = vec!["format", "--cluster-id", CLUSTER, "--config", &config];
        let security = self.settings.security.iter();
        let scram: Vec<String> = security
            .flat_map(|security| &security.users)
            .flat_map(|user| {
                ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| {
                    format!(
                        "{mechanism}=[name={},password={}]",
                        user.name, user.password
                    )
                })
            })
            .collect();
        for user in &scram {
            arguments.extend(["--add-scram", user]);
        }
        tools::run_with(&self.java, None, "kafka-storage", &arguments, "").map(drop)
    }

    fn address(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }

    fn secured(&self, choose: impl Fn([u16; 4]) -> u16) -> Result<String, Error> {
        self.authority()?;
        Ok(self.address(choose(self.ports.secured)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = self.lock().as_mut() {
            process.signal(signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<LoggedProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of files in the broker's directory.
const PROPERTIES: &str = "server.properties";
const LOG: &str = "broker.log";
const SERVER: &str = "server.pem";

/// Any 16 bytes in Base64. Each broker is a cluster of its own.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

fn home(settings: &Settings) -> Result<(PathBuf, Option<TempDir>), Error> {
    if let Some(directory) = &settings.directory {
        std::fs::create_dir_all(directory).map_err(Error::at("can't make", directory))?;
        // The JVM resolves paths in the configuration against its own working directory.
        let home = std::path::absolute(directory).map_err(Error::at("can't find", directory))?;
        return Ok((home, None));
    }
    let temporary = tempfile::Builder::new()
        .prefix("saga-broker-")
        .tempdir()
        .map_err(Error::at(
            "can't make a directory in",
            &std::env::temp_dir(),
        ))?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

fn choose(settings: &Settings) -> Result<Ports, Error> {
    match ports::free(6)[..] {
        [controller, plain, tls, mutual, sasl, sasl_tls] => Ok(Ports {
            controller,
            plain: settings.port.unwrap_or(plain),
            secured: [tls, mutual, sasl, sasl_tls],
        }),
        _ => Err(Error::Io {
            what: "can't find free ports on 127.0.0.1".to_owned(),
            source: std::io::ErrorKind::AddrInUse.into(),
        }),
    }
}
