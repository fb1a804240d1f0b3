//! Both services of the contract and the admin interface in memory, optionally with a fault, for
//! tests of the checker, the walk and the swaps.
//!
//! Owns: a hyper server per service, and one shared table. The text of a component is its declared
//! version; version 0.2.0 has the cautious rules, and 0.3.0 the faulty ones. Each order shows
//! PENDING for a millisecond before its decision, so that every test waits. Test code only.

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
use crate::files::{Binaries, ServicePorts};

/// Time for which each order shows PENDING.
const DECIDED_AFTER: Duration = Duration::from_millis(1);

/// The script that stands in for a host. It does not read the components.
pub fn script() -> Binaries {
    let script = saga_testkit::host::script();
    Binaries {
        saga: script.clone(),
        customer: script.clone(),
        order: script,
    }
}

/// One host with both participants, which is that script.
pub fn script_alone(data: &Path) -> Launch {
    script().together(data, ServicePorts::default())
}

/// A fault of the mock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MockFault {
    /// No fault.
    None,
    /// Every tenth approved order reserves a cent too much.
    LosesCent,
    /// Every tenth order stays PENDING.
    LeavesPending,
    /// Every order of a known customer is approved.
    ApprovesBeyond,
    /// Every tenth approved order is subtracted twice.
    TakesTwice,
    /// One in ten orders that fit is rejected.
    RejectsFitting,
    /// Every tenth POST of an order is answered with 500.
    Fails,
    /// Every tenth POST of an order takes effect, but the connection closes without an answer.
    BreaksOff,
    /// Like `BreaksOff`, and such an order then stays PENDING.
    BreaksOffAndForgets,
    /// The credit of cancelled orders is not given back.
    KeepsCredit,
    /// A redriven dead letter fails again.
    FailsAgain,
    /// Every swap is answered with 422.
    RefusesSwaps,
    /// Every swap is answered with 200 and changes nothing.
    SwapsNothing,
    /// Swaps take effect, but every tenth decision is not counted.
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
    fault: MockFault,
    /// Name and credit left, by id - 1.
    customers: Vec<(String, i64)>,
    /// By id - 1.
    orders: Vec<MockOrder>,
    /// Version, activations and decisions of each build of the customer's rules.
    builds: Vec<(String, u64, u64)>,
    /// Index of the active build, and of the one before.
    active: (usize, usize),
    /// True for the dead letters that were decided, by id - 1.
    letters: Vec<bool>,
}

#[derive(Debug)]
struct MockOrder {
    state: &'static str,
    /// The time from which the state is shown instead of PENDING; None: never.
    from: Option<Instant>,
    /// Index of the customer.
    customer: usize,
    total: Cents,
}

impl Mock {
    /// Serves both services on free ports.
    pub async fn start(fault: MockFault) -> Self {
        let tables = Arc::new(Mutex::new(Tables {
            fault,
            customers: Vec::new(),
            orders: Vec::new(),
            builds: vec![("0.1.0".to_owned(), 1, 0)],
            active: (0, 0),
            letters: Vec::new(),
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
                // A client that goes away is no error of the mock.
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
    /// None: the connection closes without an answer.
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
            (&Method::POST, "orders") if id.ends_with("/cancel") => Some(self.cancel(id)),
            (&Method::POST, "orders") => self.place(body),
            (&Method::GET, "orders") => Some(match self.orders.get(index) {
                Some(order) => {
                    let decided = order.from.is_some_and(|from| Instant::now() >= from);
                    let shown = if decided { order.state } else { "PENDING" };
                    (200, format!(r#"{{"orderId":{id},"orderState":"{shown}"}}"#))
                }
                None => (404, "{}".to_owned()),
            }),
            (&Method::GET, "participants") if id.ends_with("/dead-letters") => {
                Some((200, self.open_letters()))
            }
            (&Method::POST, "participants") if id.contains("/dead-letters/") => {
                Some((200, self.letter(id)))
            }
            (&Method::GET, "participants") => Some((200, self.generations())),
            (&Method::POST, "participants") => Some(self.activate(self.active.1)),
            (&Method::PUT, "participants") => Some(self.swap(body)),
            (&Method::PATCH, "participants") => Some(self.activate(self.active.0)),
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

    fn open_letters(&self) -> String {
        let letters = self.letters.iter().enumerate();
        let open: Vec<Value> = letters
            .filter(|(_, is_decided)| !**is_decided)
            .map(|(index, _)| json!({"id": index + 1, "state": "open", "reason": "trap"}))
            .collect();
        json!({ "letters": open }).to_string()
    }

    /// A trial or a redrive of a dead letter.
    fn letter(&mut self, path: &str) -> String {
        let mut parts = path.rsplit('/');
        let (act, id) = (parts.next().unwrap(), parts.next().unwrap());
        let id = id.parse::<usize>().unwrap();
        if act == "trial" {
            let event = json!({"body": "{\"state\":\"APPROVED\"}"});
            return json!({"id": id, "would_decide": {"events": [event]}}).to_string();
        }
        let decided = self.fault != MockFault::FailsAgain;
        self.letters[id - 1] = decided;
        let state = if decided { "decided" } else { "open" };
        json!({"id": id, "state": state, "reason": "trap"}).to_string()
    }

    fn swap(&mut self, body: &[u8]) -> (u16, String) {
        if self.fault == MockFault::RefusesSwaps {
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
        if self.fault != MockFault::SwapsNothing {
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
        if self.fault != MockFault::ForgetsDecisions || !orders.is_multiple_of(10) {
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

    fn cancel(&mut self, path: &str) -> (u16, String) {
        let (id, _) = path.split_once('/').unwrap();
        let order = &mut self.orders[id.parse::<usize>().unwrap() - 1];
        if order.state == "APPROVED" && self.fault != MockFault::KeepsCredit {
            self.customers[order.customer].1 += order.total.0;
        }
        order.state = "CANCELLED";
        (
            200,
            format!(r#"{{"orderId":{id},"orderState":"CANCELLED"}}"#),
        )
    }

    fn place(&mut self, body: &[u8]) -> Option<(u16, String)> {
        let body: Value = serde_json::from_slice(body).unwrap();
        let customer = body["customerId"].as_i64().unwrap();
        let total = cents(&body["orderTotal"]["amount"]);
        let id = self.orders.len() + 1;
        let tenth = id.is_multiple_of(10);
        let index = usize::try_from(customer).unwrap().wrapping_sub(1);
        let version = self.builds[self.active.0].0.as_str();
        let (is_cautious, is_faulty) = (version == "0.2.0", version == "0.3.0");
        let mut from = Some(Instant::now() + DECIDED_AFTER);
        let state = match self.customers.get_mut(index) {
            None => "REJECTED",
            Some(_) if is_faulty && total.0 % 100 != 0 => {
                self.letters.push(false);
                "REJECTED"
            }
            Some(_) if is_cautious && total > Cents::whole(10_000) => "REJECTED",
            Some(_) if tenth && self.fault == MockFault::RejectsFitting => "REJECTED",
            Some((_, left)) if *left >= total.0 || self.fault == MockFault::ApprovesBeyond => {
                *left -= match self.fault {
                    MockFault::LosesCent if tenth => total.0 + 1,
                    MockFault::TakesTwice if tenth => total.0 * 2,
                    _ => total.0,
                };
                "APPROVED"
            }
            Some(_) => "REJECTED",
        };
        if tenth
            && matches!(
                self.fault,
                MockFault::LeavesPending | MockFault::BreaksOffAndForgets
            )
        {
            from = None;
        }
        self.orders.push(MockOrder {
            state,
            from,
            customer: index,
            total,
        });
        self.decide();
        match self.fault {
            MockFault::Fails if tenth => Some((500, "broken".to_owned())),
            MockFault::BreaksOff | MockFault::BreaksOffAndForgets if tenth => None,
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
