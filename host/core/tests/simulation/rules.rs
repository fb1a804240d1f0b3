//! The two participants of the simulation, natively: `credit` keeps accounts, `order` keeps orders.
//!
//! Pure, as components are: [`SagaRules::handle`] is a function of state and message, so the
//! checker can repeat every recorded decision. Builds differ in their [`Shape`]. All decisions
//! carry the digest of the build that decided (`by`), so the checker sees if the host recorded the
//! right one. Faults are made in `faults.rs`.

use std::rc::Rc;

use saga_contract::description::{Description, RefusalKind};
use saga_core::message::{Message, Origin};
use saga_core::outcome::{
    Disposition, Event, Outcome, Refusal, Reply, StateChange, Timer, TimerChange,
};
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use serde::{Deserialize, Serialize};

use crate::description::{Flaw, Shape, description};

/// The topic of orders.
pub(crate) const ORDERS: &str = "orders";
/// The topic of credit's decisions.
pub(crate) const ANSWERS: &str = "answers";
/// Number of reminders of a pending order.
const REMINDERS: u32 = 2;
/// Time until an order's reminder, in milliseconds.
const PATIENCE: u64 = 400;
/// Time until an order without an answer ends, in milliseconds.
const TIMEOUT: u64 = 1_000;

/// One of the two participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Credit,
    Order,
}

impl Role {
    pub(crate) const ALL: [Self; 2] = [Self::Credit, Self::Order];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Order => "order",
        }
    }

    /// The topic that it subscribes to.
    pub(crate) fn listens_to(self) -> &'static str {
        match self {
            Self::Credit => ORDERS,
            Self::Order => ANSWERS,
        }
    }
}

/// The value of records on both topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) order: u64,
    pub(crate) account: String,
    pub(crate) amount: u64,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) by: String,
}

/// State of an account. `v` is the version of its shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) v: u32,
    pub(crate) limit: u64,
    pub(crate) left: u64,
}

/// State of an order. `v` is the version of its shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) v: u32,
    pub(crate) account: String,
    pub(crate) amount: u64,
    /// PENDING, APPROVED, REJECTED, LATE (nobody answered in time), CANCELLED.
    pub(crate) state: String,
    /// ASKED, RESERVED, REFUSED, RELEASED.
    pub(crate) credit: String,
    pub(crate) reminders: u32,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    #[serde(default)]
    account: String,
    amount: u64,
}

/// One build of one participant's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SagaRules {
    pub(crate) role: Role,
    pub(crate) number: u64,
    pub(crate) digest: Rc<str>,
    pub(crate) shape: Shape,
    pub(crate) description: Rc<Description>,
}

impl Rules for SagaRules {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let answer = match (self.role, message.origin, message.name.as_str()) {
            (Role::Credit, Origin::Command, "open") => Ok(self.open(message)),
            (Role::Credit, Origin::Command, "raise") => Ok(self.raise(self.known(state)?, message)),
            (Role::Credit, Origin::Event, "order-created") => {
                self.reserve(self.known(state)?, message)
            }
            (Role::Order, Origin::Command, "place") => Ok(self.place(message)),
            (Role::Order, Origin::Event, "credit-answered") => {
                self.answered(self.known(state)?, message)
            }
            (Role::Credit, Origin::Event, "order-cancelled") => {
                release(self.known(state)?, message)
            }
            (Role::Order, Origin::Command, "cancel") => {
                Ok(self.cancel(self.known(state)?, message))
            }
            (Role::Order, Origin::Timer, "remind") => Ok(self.remind(self.known(state)?, message)),
            (Role::Order, Origin::Timer, "timeout") => Ok(timed_out(self.known(state)?)),
            (_, Origin::Command, "get") => Ok(read(state)),
            (Role::Credit, Origin::Event, "order-reminded") => {
                self.reminded(self.known(state)?, message)?
            }
            (Role::Order, Origin::Command, "touch") if self.shape.more.is_some() => {
                Ok(touch(self.known(state)?))
            }
            _ => {
                return Err(Fault::new(
                    FaultKind::Trap,
                    format!("no rule for {}", message.name),
                ));
            }
        };
        Ok(Decision {
            answer,
            fuel: 100 + message.body.len() as u64,
        })
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let mut value: serde_json::Value = parse(state)?;
        match value.get_mut("v") {
            Some(v) if *v == version && self.shape.reads(version) => {
                *v = self.shape.version.into();
            }
            _ => {
                return Err(Fault::new(
                    FaultKind::Migration,
                    format!("not of version {version}: {state}"),
                ));
            }
        }
        Ok(value.to_string())
    }
}

impl SagaRules {
    /// The build of this number.
    pub(crate) fn new(role: Role, number: u64, shape: Shape) -> Self {
        Self {
            role,
            number,
            digest: format!("{}-{number}", role.name()).into(),
            shape,
            description: Rc::new(description(role, shape)),
        }
    }

    /// A state of another shape than this build's means a defect of the host.
    fn known<T: for<'a> Deserialize<'a>>(&self, state: Option<&str>) -> Result<Option<T>, Fault> {
        let Some(text) = state else { return Ok(None) };
        let shape: serde_json::Value = parse(text)?;
        if shape["v"] != self.shape.version {
            return Err(Fault::new(
                FaultKind::Trap,
                format!("state is not of version {}: {text}", self.shape.version),
            ));
        }
        parse(text).map(Some)
    }

    fn open(&self, message: &Message) -> Outcome {
        match serde_json::from_str::<Asked>(&message.body) {
            Ok(asked) => {
                let account = Account {
                    v: self.shape.version,
                    limit: asked.amount,
                    left: asked.amount,
                };
                outcome(put(&account), Vec::new(), Some(Reply::Done("{}".into())))
            }
            Err(error) => refused(RefusalKind::Invalid, &error.to_string()),
        }
    }

    fn raise(&self, account: Option<Account>, message: &Message) -> Outcome {
        match (account, serde_json::from_str::<Asked>(&message.body)) {
            (Some(mut account), Ok(asked)) => {
                account.limit += asked.amount;
                account.left += asked.amount;
                outcome(put(&account), Vec::new(), Some(Reply::Done("{}".into())))
            }
            _ => refused(RefusalKind::NotFound, "no such account"),
        }
    }

    fn reserve(&self, account: Option<Account>, message: &Message) -> Result<Outcome, Disposition> {
        let mut body: Body = read_body(message)?;
        if body.amount == 0 {
            return Err(Disposition::Malformed("an order of nothing".into()));
        }
        body.by = self.digest.to_string();
        let reserved = account.and_then(|account| {
            let left = account.left.checked_sub(body.amount)?;
            Some(Account { left, ..account })
        });
        body.state = if reserved.is_some() {
            "APPROVED"
        } else {
            "REJECTED"
        }
        .into();
        let state = reserved.as_ref().map_or(StateChange::Unchanged, put);
        Ok(outcome(state, vec![event("credit-answered", &body)], None))
    }

    /// Leaves the account unchanged. A message with another key than this build's means a defect of
    /// the host.
    fn reminded(
        &self,
        _account: Option<Account>,
        message: &Message,
    ) -> Result<Result<Outcome, Disposition>, Fault> {
        let body = match read_body(message) {
            Ok(body) => body,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let key = match self.shape.more {
            Some("/account") => body.account,
            Some(_) => body.order.to_string(),
            None => return Err(Fault::new(FaultKind::Trap, "no rule for reminders")),
        };
        if key != message.key {
            return Err(Fault::new(FaultKind::Trap, format!("the key is {key}")));
        }
        Ok(Ok(outcome(StateChange::Unchanged, Vec::new(), None)))
    }

    fn place(&self, message: &Message) -> Outcome {
        let (Ok(asked), Ok(number)) = (
            serde_json::from_str::<Asked>(&message.body),
            message.key.parse(),
        ) else {
            return refused(RefusalKind::Invalid, "not an order");
        };
        let state = "PENDING".to_owned();
        let body = Body {
            order: number,
            account: asked.account,
            amount: asked.amount,
            state,
            by: self.digest.to_string(),
        };
        let order = Order {
            v: self.shape.version,
            account: body.account.clone(),
            amount: body.amount,
            state: body.state.clone(),
            credit: "ASKED".into(),
            reminders: 0,
        };
        let mut placed = outcome(
            put(&order),
            vec![event("order-created", &body)],
            Some(Reply::Pending("{}".into())),
        );
        placed.timers.push(reminder(message));
        placed.timers.push(TimerChange::Set(Timer {
            name: "timeout".into(),
            due: message.time + TIMEOUT,
            body: "null".into(),
        }));
        placed
    }

    fn answered(&self, order: Option<Order>, message: &Message) -> Result<Outcome, Disposition> {
        let body: Body = read_body(message)?;
        let Some(mut order) = order else {
            return Err(Disposition::Malformed(format!(
                "there is no order {}",
                body.order
            )));
        };
        let is_reserved = body.state == "APPROVED";
        match (&*order.credit, is_reserved) {
            ("RESERVED" | "RELEASED", true) | ("REFUSED", false) => {
                return Ok(outcome(StateChange::Unchanged, Vec::new(), None));
            }
            ("ASKED", _) => {}
            (credit, _) => {
                return Err(Disposition::Malformed(format!(
                    "credit for order {} is {credit} already",
                    body.order
                )));
            }
        }
        let ended = order.state != "PENDING";
        order.credit = match (is_reserved, ended) {
            (false, _) => "REFUSED",
            (true, false) => "RESERVED",
            (true, true) => "RELEASED",
        }
        .into();
        if !ended {
            order.state = body.state;
        }
        let events = match &*order.credit {
            "RELEASED" => self.released(&order, message),
            _ => Vec::new(),
        };
        Ok(waits_no_more(outcome(put(&order), events, None)))
    }

    fn cancel(&self, order: Option<Order>, message: &Message) -> Outcome {
        let Some(mut order) = order else {
            return refused(RefusalKind::NotFound, "no such order");
        };
        let done = Some(Reply::Done("{}".into()));
        let events = match &*order.state {
            "CANCELLED" => return outcome(StateChange::Unchanged, Vec::new(), done),
            "REJECTED" | "LATE" => return refused(RefusalKind::Conflict, "it was rejected"),
            "APPROVED" => {
                order.credit = "RELEASED".into();
                self.released(&order, message)
            }
            _ => Vec::new(),
        };
        order.state = "CANCELLED".into();
        waits_no_more(outcome(put(&order), events, done))
    }

    /// Releases the credit of an order.
    fn released(&self, order: &Order, message: &Message) -> Vec<Event> {
        let body = Body {
            order: message.key.parse().unwrap_or_default(),
            account: order.account.clone(),
            amount: order.amount,
            state: order.state.clone(),
            by: self.digest.to_string(),
        };
        let times = match self.shape.flaw {
            None => 1,
            Some(Flaw::ReleaseForgotten) => 0,
            Some(Flaw::ReleasedTwice) => 2,
        };
        vec![event("order-cancelled", &body); times]
    }

    fn remind(&self, order: Option<Order>, message: &Message) -> Outcome {
        let Some(mut order) = order.filter(|order| order.state == "PENDING") else {
            return outcome(StateChange::Unchanged, Vec::new(), None);
        };
        order.reminders += 1;
        let body = Body {
            order: message.key.parse().unwrap_or_default(),
            account: order.account.clone(),
            amount: order.amount,
            state: order.state.clone(),
            by: self.digest.to_string(),
        };
        let mut reminded = outcome(put(&order), vec![event("order-reminded", &body)], None);
        if order.reminders < REMINDERS {
            reminded.timers.push(reminder(message));
        }
        reminded
    }
}

fn release(account: Option<Account>, message: &Message) -> Result<Outcome, Disposition> {
    let body: Body = read_body(message)?;
    let account = account.filter(|account| account.left + body.amount <= account.limit);
    let Some(account) = account else {
        let reason = format!("order {} holds no such credit", body.order);
        return Err(Disposition::Malformed(reason));
    };
    let left = account.left + body.amount;
    let account = Account { left, ..account };
    Ok(outcome(put(&account), Vec::new(), None))
}

fn timed_out(order: Option<Order>) -> Outcome {
    let Some(mut order) = order.filter(|order| order.state == "PENDING") else {
        return outcome(StateChange::Unchanged, Vec::new(), None);
    };
    order.state = "LATE".into();
    waits_no_more(outcome(put(&order), Vec::new(), None))
}

/// An order that has ended gets no reminder and no timeout.
fn waits_no_more(mut outcome: Outcome) -> Outcome {
    for timer in ["remind", "timeout"] {
        outcome.timers.push(TimerChange::Cancel(timer.into()));
    }
    outcome
}

fn touch(order: Option<Order>) -> Outcome {
    match order {
        Some(_) => outcome(
            StateChange::Unchanged,
            Vec::new(),
            Some(Reply::Done("{}".into())),
        ),
        None => refused(RefusalKind::NotFound, "no such order"),
    }
}

fn read(state: Option<&str>) -> Outcome {
    match state {
        Some(state) => outcome(
            StateChange::Unchanged,
            Vec::new(),
            Some(Reply::Done(state.into())),
        ),
        None => refused(RefusalKind::NotFound, "no such thing"),
    }
}

fn read_body(message: &Message) -> Result<Body, Disposition> {
    serde_json::from_str(&message.body).map_err(|error| Disposition::Malformed(error.to_string()))
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text)
        .map_err(|error| Fault::new(FaultKind::Trap, format!("{error}: {text}")))
}

fn put(state: &impl Serialize) -> StateChange {
    StateChange::Put(to_text(state))
}

fn event(event_type: &str, body: &Body) -> Event {
    Event {
        event_type: event_type.into(),
        key: body.account.clone(),
        body: to_text(body),
    }
}

fn reminder(message: &Message) -> TimerChange {
    TimerChange::Set(Timer {
        name: "remind".into(),
        due: message.time + PATIENCE,
        body: "null".into(),
    })
}

fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these types are JSON")
}

fn outcome(state: StateChange, events: Vec<Event>, reply: Option<Reply>) -> Outcome {
    Outcome {
        state,
        events,
        timers: Vec::new(),
        reply,
    }
}

fn refused(kind: RefusalKind, detail: &str) -> Outcome {
    let refusal = Refusal {
        kind,
        code: "no".into(),
        detail: detail.into(),
        pointer: None,
    };
    outcome(
        StateChange::Unchanged,
        Vec::new(),
        Some(Reply::Refused(refusal)),
    )
}
