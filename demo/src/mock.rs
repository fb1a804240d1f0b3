//! Both services of the contract and the admin interface in memory, right or wrong in a chosen way: what
//! the tests of the checker, of the walk and of the swaps run against.
//!
//! Owns: a hyper server per service and one shared table. The text of a component is the version that it
//! declares; the rules of 0.2.0 are the cautious ones. Each order shows PENDING for a
//! millisecond before its decision, so that waiting is part of every test. Test code only.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use saga_testkit::host::Launch;
use saga_testkit::http::BaseUrl;

use crate::cents::Cents;
use crate::files::{Binaries, Ports};

/// How long each order shows PENDING.
const DECIDED_AFTER: Duration = Duration::from_millis(1);

/// The script that stands in for a host, and for the components, which it does not read.
pub fn script() -> Binaries {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/host.sh");
    Binaries {
        saga: script.clone(),
        customer: script.clone(),
        order: script,
    }
}

/// One host with both participants, of that script.
pub fn script_alone(data: &Path) -> Launch {
    script().together(data, Ports::default())
}

/// In which way the mock breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    None,
    /// Every tenth approved order takes a cent more than it should.
    LosesCent,
    /// Every tenth order stays PENDING.
    LeavesPending,
    /// Every order of a known customer is approved.
    ApprovesBeyond,
    /// Every tenth approved order is taken off twice.
    TakesTwice,
    /// An order that would fit is rejected, one in ten.
    RejectsFitting,
    /// Every tenth POST of an order is answered with 500.
    Fails,
    /// Every tenth POST of an order takes effect, and the connection closes instead of an answer.
    BreaksOff,
    /// Like `BreaksOff`, and such an order then stays PENDING.
    BreaksOffAndForgets,
    /// Every swap is answered with 422.
    RefusesSwaps,
    /// Every swap is answered with 200 and changes nothing.
    SwapsNothing,
    /// Swaps do, but every tenth decision is not counted.
    ForgetsDecisions,
}

/// A running mock; it ends with the test's runtime.
#[derive(Debug)]
pub struct Mock {
    /// The customer service.
    pub customer: BaseUrl,
    /// The order service.
    pub order: BaseUrl,
    /// The admin interface.
    pub admin: BaseUrl,
}

#[derive(Debug)]
struct Tables {
    fault: Fault,
    /// Name and credit left, by id - 1.
    customers: Vec<(String, i64)>,
    /// State, and from when on it is shown instead of PENDING (none: never), by id - 1.
    orders: Vec<(&'static str, Option<Instant>)>,
    /// Version, activations and decisions of each build of the customer's rules.
    builds: Vec<(String, u64, u64)>,
    /// Index of the build that decides, and of the one before.
    active: (usize, usize),
}

impl Mock {
    /// Serves both services on free ports.
    pub async fn start(fault: Fault) -> Self {
        let tables = Arc::new(Mutex::new(Tables {
            fault,
            customers: Vec::new(),
            orders: Vec::new(),
            builds: vec![("0.1.0".to_owned(), 1, 0)],
            active: (0, 0),
        }));
        Self {
            customer: serve(Arc::clone(&tables), "/customer-order/customer-service").await,
            order: serve(Arc::clone(&tables), "/customer-order/order-service").await,
            admin: serve(tables, "").await,
        }
    }
}

async fn serve(tables: Arc<Mutex<Tables>>, base: &'static str) -> BaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint =
        BaseUrl::parse(&format!("http://{}{base}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let tables = Arc::clone(&tables);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&tables), base, request));
                // A client that goes away is no failure of the mock.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    endpoint
}

async fn answer(
    tables: Arc<Mutex<Tables>>,
    base: &str,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let path = request
        .uri()
        .path()
        .strip_prefix(base)
        .unwrap_or("/unknown")
        .to_owned();
    let method = request.method().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let (status, text) = tables
        .lock()
        .unwrap()
        .answer(&method, &path, &body)
        .ok_or("breaks off")?;
    let response = Response::builder()
        .status(status)
        .body(Full::new(Bytes::from(text)))
        .unwrap();
    Ok::<_, Infallible>(response).map_err(|_| "never")
}

impl Tables {
    /// None: the connection breaks off.
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let (collection, id) = path
            .strip_prefix('/')
            .unwrap()
            .split_once('/')
            .unwrap_or((&path[1..], ""));
        let index = id.parse::<usize>().unwrap_or(0).wrapping_sub(1);
        match (method, collection) {
            (&Method::POST, "customers") => Some(self.register(body)),
            (&Method::GET, "customer") => Some(match self.customers.get(index) {
                Some((name, left)) => {
                    let left = Cents(*left);
                    (
                        200,
                        format!(r#"{{"id":{id},"name":"{name}","creditLimit":{left}}}"#),
                    )
                }
                None => (404, "{}".to_owned()),
            }),
            (&Method::POST, "orders") => self.place(body),
            (&Method::GET, "orders") => Some(match self.orders.get(index) {
                Some((state, from)) => {
                    let decided = from.is_some_and(|from| Instant::now() >= from);
                    let shown = if decided { *state } else { "PENDING" };
                    (200, format!(r#"{{"orderId":{id},"orderState":"{shown}"}}"#))
                }
                None => (404, "{}".to_owned()),
            }),
            (&Method::GET, "participants") => Some((200, self.generations())),
            (&Method::POST, "participants") => Some(self.activate(self.active.1)),
            (&Method::PUT, "participants") => Some(self.swap(body)),
            _ => Some((404, "{}".to_owned())),
        }
    }

    fn generations(&self) -> String {
        let generations: Vec<Value> = self
            .builds
            .iter()
            .map(|(version, activations, decisions)| {
                json!({"digest": digest(version), "version": version, "activations": activations,
                       "decisions": decisions, "faults": 0})
            })
            .collect();
        json!({ "generations": generations }).to_string()
    }

    fn swap(&mut self, body: &[u8]) -> (u16, String) {
        if self.fault == Fault::RefusesSwaps {
            return (422, "refused".to_owned());
        }
        let version = String::from_utf8(body.to_vec()).unwrap();
        let known = self.builds.iter().position(|(known, ..)| *known == version);
        let build = known.unwrap_or_else(|| {
            self.builds.push((version, 0, 0));
            self.builds.len() - 1
        });
        self.activate(build)
    }

    fn activate(&mut self, build: usize) -> (u16, String) {
        let previous = self.active.0;
        if self.fault != Fault::SwapsNothing {
            self.active = (build, previous);
            self.builds[build].1 += 1;
        }
        let active = &self.builds[self.active.0].0;
        let answer = json!({"participant": "customer", "digest": digest(active), "version": active,
            "previous": digest(&self.builds[previous].0), "changed": self.active.0 != previous,
            "probe": {"inputs": 7, "decided_otherwise": 1}, "notes": [], "checked_us": 700, "swapped_us": 300});
        (200, answer.to_string())
    }

    fn decide(&mut self) {
        let orders = self.orders.len();
        if self.fault != Fault::ForgetsDecisions || !orders.is_multiple_of(10) {
            self.builds[self.active.0].2 += 1;
        }
    }

    fn register(&mut self, body: &[u8]) -> (u16, String) {
        let body: Value = serde_json::from_slice(body).unwrap();
        let name = body["name"].as_str().unwrap().to_owned();
        let limit = cents(&body["creditLimit"]["amount"]);
        self.customers.push((name.clone(), limit.0));
        self.decide();
        let id = self.customers.len();
        (
            201,
            format!(r#"{{"customerId":{id},"name":"{name}","amount":{limit}}}"#),
        )
    }

    fn place(&mut self, body: &[u8]) -> Option<(u16, String)> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let customer = body["customerId"].as_i64().unwrap();
        let total = cents(&body["orderTotal"]["amount"]);
        let id = self.orders.len() + 1;
        let tenth = id.is_multiple_of(10);
        let index = usize::try_from(customer).unwrap().wrapping_sub(1);
        let is_cautious = self.builds[self.active.0].0 == "0.2.0";
        let mut from = Some(Instant::now() + DECIDED_AFTER);
        let state = match self.customers.get_mut(index) {
            None => "REJECTED",
            Some(_) if is_cautious && total > Cents::whole(10_000) => "REJECTED",
            Some(_) if tenth && self.fault == Fault::RejectsFitting => "REJECTED",
            Some((_, left)) if *left >= total.0 || self.fault == Fault::ApprovesBeyond => {
                *left -= match self.fault {
                    Fault::LosesCent if tenth => total.0 + 1,
                    Fault::TakesTwice if tenth => total.0 * 2,
                    _ => total.0,
                };
                "APPROVED"
            }
            Some(_) => "REJECTED",
        };
        if tenth
            && matches!(
                self.fault,
                Fault::LeavesPending | Fault::BreaksOffAndForgets
            )
        {
            from = None;
        }
        self.orders.push((state, from));
        self.decide();
        match self.fault {
            Fault::Fails if tenth => Some((500, "broken".to_owned())),
            Fault::BreaksOff | Fault::BreaksOffAndForgets if tenth => None,
            _ => Some((
                201,
                format!(
                    r#"{{"orderId":{id},"orderState":"PENDING","customerId":{customer},"orderTotal":{total}}}"#
                ),
            )),
        }
    }
}

fn digest(version: &str) -> String {
    format!("digest-of-{version}")
}

fn cents(number: &Value) -> Cents {
    Cents::from_json(&number.to_string()).unwrap()
}
