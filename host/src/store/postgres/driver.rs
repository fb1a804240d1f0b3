//! The thread that drives the connections of a store.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};

use super::error::{SqlError, SqlResult};

/// A runtime of tokio with one thread, started with the first connection. Callers of a store may
/// be in a runtime of their own, where they could not wait for a task of it.
#[derive(Default)]
pub(super) struct Driver(OnceLock<Runtime>);

impl Driver {
    /// Connects; the connection lives as long as its client.
    pub(super) fn connect<T>(&self, config: &Config, tls: T) -> SqlResult<Client>
    where
        T: MakeTlsConnect<Socket> + Send + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as tokio_postgres::tls::TlsConnect<Socket>>::Future: Send,
    {
        let config = config.clone();
        let connecting = self.runtime()?.spawn(async move {
            let (client, connection) = config.connect(tls).await?;
            // Its end shows in the next call of the client.
            tokio::spawn(async move { drop(connection.await) });
            Ok(client)
        });
        match pollster::block_on(connecting) {
            Ok(connected) => connected.map_err(SqlError::Server),
            Err(_) => Err(SqlError::Data(
                "the thread of the connections has ended".into(),
            )),
        }
    }

    fn runtime(&self) -> SqlResult<&Runtime> {
        if let Some(runtime) = self.0.get() {
            return Ok(runtime);
        }
        let mut builder = Builder::new_multi_thread();
        let builder = builder
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all();
        let runtime = builder.build().map_err(|error| {
            SqlError::Data(format!(
                "the thread of the connections can't be started: {error}"
            ))
        })?;
        Ok(self.0.get_or_init(|| runtime))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The last owner may be a task of another runtime, which must not wait here.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
