//! Where a store on PostgreSQL is: the server, the credentials, TLS, the schema.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::driver::Driver;
use super::error::SqlResult;
use super::session::Sql;
use crate::base::secret::Secret;

/// Longest wait for a connection, if the URL has no `connect_timeout`.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest wait for a sign of life of the server on a connection in use.
const DEAD: Duration = Duration::from_secs(10);

/// The parameters of every session. With hash and merge joins, and with plans that depend on the
/// values, a statement that was prepared on empty tables stays slow.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET enable_seqscan = off; SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '5s'; SET client_connection_check_interval = '100ms'";

/// The address of a store on PostgreSQL. Clones use the same thread for their connections.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    schema: String,
    driver: Arc<Driver>,
}

/// The settings of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSettings {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with parameters of libpq after `?`.
    pub url: Secret,
    /// A file with the password, instead of one in the URL.
    pub password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) of the authorities that may have issued the server's;
    /// without it, those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The schema of the tables.
    pub schema: String,
}

impl Address {
    /// Reads the settings.
    ///
    /// # Errors
    /// What is wrong with them, without secrets.
    pub fn new(settings: &AddressSettings) -> Result<Self, String> {
        let (url, is_verified) = without_verify(settings.url.reveal())?;
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            format!(
                "store.url is no URL of PostgreSQL ({}); it has the form postgres://USER@HOST:5432/DATABASE",
                why.unwrap_or_else(|| error.to_string())
            )
        })?;
        if config.get_hosts().is_empty() {
            return Err(
                "store.url names no host; it has the form postgres://USER@HOST:5432/DATABASE"
                    .into(),
            );
        }
        if is_verified {
            config.ssl_mode(SslMode::Require);
        }
        if let Some(file) = &settings.password_file {
            let password =
                Secret::read(file).map_err(|why| format!("store.password_file: {why}"))?;
            config.password(password.reveal());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.tcp_user_timeout(DEAD).keepalives_idle(DEAD);
        if config.get_application_name().is_none() {
            config.application_name("saga");
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(Arc::new(tls(settings.ca_file.as_deref())?)),
        };
        Ok(Self {
            config,
            tls,
            schema: settings.schema.clone(),
            driver: Arc::new(Driver::default()),
        })
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
        let client = match &self.tls {
            Some(tls) => {
                let tls = MakeRustlsConnect::new(ClientConfig::clone(tls));
                self.driver.connect(&self.config, tls)
            }
            None => self.driver.connect(&self.config, tokio_postgres::NoTls),
        };
        let sql = Sql::new(client?, self.driver.clone());
        let schema = quoted(&self.schema);
        sql.run(&format!("{SESSION}; SET search_path TO {schema}"))?;
        Ok(sql)
    }
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
                return Err("store.url: give the authorities' certificates as store.ca_file, not as sslrootcert".into());
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

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.config.get_hosts().iter();
        let hosts: Vec<_> = hosts
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let (user, database) = (self.user(), self.database());
        write!(f, "postgres://{user}@{}:{port}/{database}", hosts.join(","))?;
        write!(f, " (schema {})", self.schema)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
