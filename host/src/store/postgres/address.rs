//! Where a store on PostgreSQL is: the server, the credentials, TLS, the schema.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::driver::Driver;
use super::error::SqlResult;
use super::session::Sql;
use crate::base::secret::Secret;
use crate::store::settings::ServerSettings;

/// What the URL of a server starts with.
pub const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Longest wait for a connection, if the URL has no `connect_timeout`.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for a sign of life of the server on a connection in use.
const DEAD: Duration = Duration::from_secs(10);

/// The parameters of every session. With hash and merge joins, and with plans that depend on the
/// values, a statement that was prepared on empty tables stays slow.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET enable_seqscan = off; SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '2s'; SET client_connection_check_interval = '100ms'";

/// The address of a store on PostgreSQL. Clones use the same thread for their connections.
#[derive(Clone)]
pub struct ServerAddress {
    config: Arc<Config>,
    tls: Option<Arc<ClientConfig>>,
    schema: String,
    driver: Arc<Driver>,
}

impl ServerAddress {
    /// Checks a URL.
    ///
    /// # Errors
    /// What is wrong with it, as text that follows the name of the setting; without secrets.
    pub fn check(url: &Secret) -> Result<(), String> {
        parse(url).map(drop)
    }

    /// The address with these settings.
    ///
    /// # Errors
    /// What is wrong with them, without secrets.
    pub fn new(settings: &ServerSettings) -> Result<Self, String> {
        let mut config = parse(&settings.url).map_err(|why| format!("store.url: {why}"))?;
        if let Some(password) = &settings.password {
            if config.get_password().is_some() {
                return Err(
                    "store.url: has a password, and store.password_file is given too; give one of them".into(),
                );
            }
            config.password(password.reveal());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.tcp_user_timeout(DEAD).keepalives_idle(DEAD);
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(Arc::new(tls(settings.ca_file.as_deref())?)),
        };
        Ok(Self {
            config: Arc::new(config),
            tls,
            schema: settings.schema.clone(),
            driver: Arc::new(Driver::default()),
        })
    }

    /// The URL without the password and without parameters.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts = self.config.get_hosts().iter();
        let hosts: Vec<_> = hosts
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let (user, database) = (self.user(), self.database());
        format!("postgres://{user}@{}:{port}/{database}", hosts.join(","))
    }

    /// The name of its sessions.
    pub(super) fn application(&self) -> String {
        let name = self.config.get_application_name().unwrap_or("saga");
        // Longer names are cut by the server.
        format!("{name} {}", self.schema)
            .chars()
            .filter(char::is_ascii)
            .take(60)
            .collect()
    }

    /// The thread of its connections.
    pub(super) fn driver(&self) -> Arc<Driver> {
        self.driver.clone()
    }

    /// The schema of the tables.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The user as whom the host logs in.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The database.
    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_else(|| self.user())
    }

    /// A new session whose statements find the tables of the store.
    pub(super) fn connect(&self) -> SqlResult<Sql> {
        Ok(Sql::new(self.client("")?, self.driver.clone()))
    }

    /// A new session that only reads, with these settings besides. If its connection is lost, the
    /// next statement connects again.
    pub(super) fn connect_to_read(&self, settings: &'static str) -> SqlResult<Sql> {
        Sql::renewed(self.clone(), settings)
    }

    /// A connection with the settings of a session, and these besides.
    pub(super) fn client(&self, settings: &str) -> SqlResult<Client> {
        let client = match &self.tls {
            Some(tls) => {
                let tls = MakeRustlsConnect::new(ClientConfig::clone(tls));
                self.driver.connect(&self.config, tls)
            }
            None => self.driver.connect(&self.config, tokio_postgres::NoTls),
        };
        let (client, schema) = (client?, quoted(&self.schema));
        // Other hosts on the store find its sessions by this name.
        let name = self.application().replace('\'', "''");
        let settings = format!(
            "{SESSION}; SET application_name = '{name}'; SET search_path TO {schema}; {settings}"
        );
        pollster::block_on(client.batch_execute(&settings))?;
        Ok(client)
    }
}

fn parse(url: &Secret) -> Result<Config, String> {
    let (url, is_verified) = without_verify(url.reveal())?;
    let form = "it has the form postgres://USER@HOST:5432/DATABASE";
    if !SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
        return Err(format!("is no URL of PostgreSQL; {form}"));
    }
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        let why = why.unwrap_or_else(|| error.to_string());
        format!("is no URL of PostgreSQL ({why}); {form}")
    })?;
    if config.get_hosts().is_empty() {
        return Err(format!("names no host; {form}"));
    }
    if is_verified {
        config.ssl_mode(SslMode::Require);
    }
    Ok(config)
}

/// The URL without `sslmode=verify-full` and `verify-ca`, which the driver does not know; true if
/// it had one. Certificates are always verified.
fn without_verify(url: &str) -> Result<(String, bool), String> {
    let Some((base, parameters)) = url.split_once('?') else {
        return Ok((url.to_owned(), false));
    };
    let mut is_verified = false;
    let mut kept = Vec::new();
    for parameter in parameters.split('&') {
        match parameter {
            "sslmode=verify-full" | "sslmode=verify-ca" => is_verified = true,
            _ if parameter.starts_with("sslrootcert=") => {
                return Err("names sslrootcert; give the authorities' certificates as store.ca_file instead".into());
            }
            _ => kept.push(parameter),
        }
    }
    Ok((format!("{base}?{}", kept.join("&")), is_verified))
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let wrong = |why: String| format!("store.ca_file: {}: {why}", file.display());
            let read =
                CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                let added = roots.add(certificate);
                added.map_err(|error| wrong(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(wrong("has no certificate".into()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A name as an identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl PartialEq for ServerAddress {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config && self.schema == other.schema
    }
}

impl Eq for ServerAddress {}

/// Without the password.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (schema {})", self.url(), self.schema)
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
impl ServerAddress {
    /// This schema in the server that all tests share.
    pub(in crate::store) fn in_tests(schema: String) -> Self {
        let settings = ServerSettings {
            url: crate::base::secret::Secret::new(&saga_testkit::postgres::url()),
            password: None,
            ca_file: None,
            schema,
        };
        Self::new(&settings).unwrap()
    }

    /// A schema of its own there, with a name that begins with this one.
    pub(in crate::store) fn of_test(name: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        Self::in_tests(format!("{name}_{}_{number}", std::process::id()))
    }
}
