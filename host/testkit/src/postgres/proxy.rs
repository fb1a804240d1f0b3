//! Faults between a client and a PostgreSQL server: connections that are cut at a chosen message, or
//! stand still.
//!
//! The proxy passes messages whole, as they come, in both directions. TLS hides them, so a client
//! that asks for it through the proxy is told that there is none.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::frames::{Frame, Subject};

/// A fault of the connection at the chosen message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is cut before the message reaches the server.
    CutBefore,
    /// It is cut when the server has answered, before the answer reaches the client.
    CutBeforeAnswer,
    /// All connections stand still before the message reaches the server, until
    /// [`Proxy::flow`].
    Stall,
}

/// The choice of a message of the clients.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Its type, such as `b'S'` for Sync, `b'E'` for Execute, `b'Q'` for a simple query.
    pub kind: u8,
    /// A part of the text of the statement that it is about. A Sync is about the last statement
    /// that was bound before it.
    pub about: Option<String>,
    /// Its number among those messages, of all connections together; the next one has number 1.
    pub nth: usize,
    /// The fault.
    pub what: What,
}

/// A proxy. On drop it closes all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    connections: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    trigger: Option<Trigger>,
    /// Number of triggers that have taken effect.
    happened: usize,
    is_stalled: bool,
    is_closed: bool,
    /// The sockets of open connections, by number.
    open: Vec<(usize, [TcpStream; 2])>,
}

impl Proxy {
    /// A proxy before the server at this address.
    ///
    /// # Errors
    /// No port can be had.
    pub fn before(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
            changed: Condvar::new(),
            connections: AtomicUsize::new(0),
        });
        let accepting = std::thread::Builder::new()
            .name("postgres-proxy".into())
            .spawn({
                let shared = shared.clone();
                move || {
                    for client in listener.incoming().map_while(Result::ok) {
                        if shared.lock().is_closed {
                            break;
                        }
                        // A server that is down closes the client's connection.
                        let _ = shared.begin(client);
                    }
                }
            })?;
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Its own address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the trigger; the one before it, if it has not taken effect, does so no more.
    pub fn on(&self, trigger: Trigger) {
        self.shared.lock().trigger = Some(trigger);
    }

    /// Number of triggers that have taken effect.
    #[must_use]
    pub fn happened(&self) -> usize {
        self.shared.lock().happened
    }

    /// Waits until this many triggers have taken effect; false if the time is over before.
    #[must_use]
    pub fn wait_for(&self, happened: usize, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut state = self.shared.lock();
        while state.happened < happened {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Passes nothing more in either direction, on all connections and new ones, until
    /// [`Proxy::flow`].
    pub fn stall(&self) {
        self.shared.set_stalled(true);
    }

    /// Passes messages again.
    pub fn flow(&self) {
        self.shared.set_stalled(false);
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        for (_, sockets) in &self.shared.lock().open {
            cut(sockets);
        }
    }

    /// Number of connections that were made through it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.is_closed = true;
            state.is_stalled = false;
        }
        self.shared.changed.notify_all();
        self.cut_all();
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// The requests of a connection and the answers to them, in number: a request ends with a Sync or is
/// a simple query, an answer ends with ReadyForQuery. The start of a connection is a request too.
#[derive(Debug, Default)]
struct Exchange {
    /// The request whose answer is kept back.
    kept: Option<usize>,
}

impl Shared {
    /// Begins a connection with the server for a client.
    fn begin(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
        }
        let sockets = [client.try_clone()?, server.try_clone()?];
        {
            let mut state = self.lock();
            state.open.push((number, sockets));
            if state.is_closed {
                return Ok(());
            }
        }
        let exchange = Arc::new(Mutex::new(Exchange::default()));
        let (to_client, to_server) = (client.try_clone()?, server.try_clone()?);
        let (one, other) = (self.clone(), self.clone());
        let begun = exchange.clone();
        std::thread::spawn(move || {
            let passed = one.requests(client, to_server, &begun);
            one.end(number);
            passed
        });
        std::thread::spawn(move || {
            let passed = other.answers(server, to_client, &exchange);
            other.end(number);
            passed
        });
        Ok(())
    }

    /// Passes what the client sends.
    fn requests(
        &self,
        mut client: TcpStream,
        mut server: TcpStream,
        exchange: &Mutex<Exchange>,
    ) -> io::Result<()> {
        let mut subject = Subject::default();
        let (mut has_begun, mut asked) = (false, 0);
        while let Some(frame) = Frame::read(&mut client, has_begun)? {
            if frame.asks_for_encryption() {
                client.write_all(b"N")?;
                continue;
            }
            let about = subject.after(&frame);
            match self.happens(frame.kind, about) {
                Some(What::CutBefore) => {
                    self.has_happened();
                    return Ok(());
                }
                Some(What::CutBeforeAnswer) => {
                    lock(exchange).kept = Some(asked);
                }
                Some(What::Stall) => {
                    self.set_stalled(true);
                    self.has_happened();
                }
                None => {}
            }
            self.wait_until_it_flows();
            has_begun = true;
            if matches!(frame.kind, 0 | b'S' | b'Q') {
                asked += 1;
            }
            server.write_all(&frame.bytes)?;
        }
        Ok(())
    }

    /// Passes what the server answers.
    fn answers(
        &self,
        mut server: TcpStream,
        mut client: TcpStream,
        exchange: &Mutex<Exchange>,
    ) -> io::Result<()> {
        let mut answered = 0;
        while let Some(frame) = Frame::read(&mut server, true)? {
            let is_end = frame.kind == b'Z';
            if lock(exchange).kept == Some(answered) {
                if is_end {
                    self.has_happened();
                    return Ok(());
                }
                continue;
            }
            answered += usize::from(is_end);
            self.wait_until_it_flows();
            client.write_all(&frame.bytes)?;
        }
        Ok(())
    }

    /// The fault at a message, if it is the chosen one.
    fn happens(&self, kind: u8, about: &str) -> Option<What> {
        let mut state = self.lock();
        let trigger = state.trigger.as_mut()?;
        let is_about = (trigger.about.as_ref()).is_none_or(|part| about.contains(part.as_str()));
        if trigger.kind != kind || !is_about {
            return None;
        }
        trigger.nth = trigger.nth.saturating_sub(1);
        if trigger.nth > 0 {
            return None;
        }
        state.trigger.take().map(|trigger| trigger.what)
    }

    fn has_happened(&self) {
        self.lock().happened += 1;
        self.changed.notify_all();
    }

    fn set_stalled(&self, is_stalled: bool) {
        self.lock().is_stalled = is_stalled;
        self.changed.notify_all();
    }

    fn wait_until_it_flows(&self) {
        let mut state = self.lock();
        while state.is_stalled {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a connection in both directions.
    fn end(&self, number: usize) {
        let mut state = self.lock();
        if let Some(at) = state.open.iter().position(|(open, _)| *open == number) {
            let (_, sockets) = state.open.swap_remove(at);
            cut(&sockets);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn cut(sockets: &[TcpStream; 2]) {
    for socket in sockets {
        // One that is closed already is cut.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
