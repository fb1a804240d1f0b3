//! The HTTP contract of the two services, as a client sees it, and the names of their topics.
//!
//! Owns: paths, bodies, and strict reading of answers: a 2xx with the promised fields is correct,
//! anything else is a [`CallError`] that quotes it.
//!
//! Must not know: how a request is sent (`http`), or the expected answers (`check`, `walk`).

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use saga_testkit::http::{BaseUrl, Client, RequestError, Response};

use crate::cents::Cents;

/// The topic with new orders.
pub const ORDER_TOPIC: &str = "orderTopic";
/// The topic with decisions on orders.
pub const CUSTOMER_TOPIC: &str = "customerTopic";
/// The groups that read them: `order` reads `orderTopic`, `customer` reads `customerTopic`.
pub const GROUPS: [&str; 2] = ["order", "customer"];

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrderState {
    /// Stored, but not decided yet.
    Pending,
    /// Credit was reserved.
    Approved,
    /// The credit was too small, or there is no such customer.
    Rejected,
    /// A client cancelled it.
    Cancelled,
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
        })
    }
}

/// The reason why a call has no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// There was no answer.
    #[error("{request}: {error}")]
    Transport {
        /// Method and path.
        request: String,
        /// The error, which says if the request was sent.
        error: RequestError,
    },
    /// The answer was no 2xx.
    #[error("{request}: answered {status} {body}")]
    Status {
        /// Method and path.
        request: String,
        /// Status code.
        status: u16,
        /// The body.
        body: String,
    },
    /// The answer was a 2xx with a body that the contract does not allow.
    #[error("{request}: the answer {body} is not as agreed: {problem}")]
    Body {
        /// Method and path.
        request: String,
        /// The body.
        body: String,
        /// The difference from the contract.
        problem: String,
    },
}

impl CallError {
    /// True if the request may have taken effect although there is no result: a POST that was sent
    /// and not answered, or answered with a 5xx (which promises nothing).
    pub fn fate_unknown(&self) -> bool {
        match self {
            Self::Transport { error, .. } => matches!(error, RequestError::Lost { .. }),
            Self::Status { status, .. } => *status >= 500,
            Self::Body { .. } => false,
        }
    }
}

/// Body of `POST /customers`.
pub fn registration(name: &str, limit: Cents) -> String {
    format!(r#"{{"name":"{name}","creditLimit":{{"amount":{limit}}}}}"#)
}

/// Body of `POST /orders`.
pub fn order(customer_id: i64, total: Cents) -> String {
    format!(r#"{{"customerId":{customer_id},"orderTotal":{{"amount":{total}}}}}"#)
}

/// Path of `POST /customers`.
pub fn customers_path(url: &BaseUrl) -> String {
    url.path(format_args!("/customers"))
}

/// Path of `GET /customer/{customerId}`.
pub fn customer_path(url: &BaseUrl, id: i64) -> String {
    url.path(format_args!("/customer/{id}"))
}

/// Path of `POST /orders`.
pub fn orders_path(url: &BaseUrl) -> String {
    url.path(format_args!("/orders"))
}

/// Path of `GET /orders/{orderId}`.
pub fn order_path(url: &BaseUrl, id: i64) -> String {
    url.path(format_args!("/orders/{id}"))
}

/// Path of `POST /orders/{orderId}/cancel`.
pub fn cancel_path(url: &BaseUrl, id: i64) -> String {
    url.path(format_args!("/orders/{id}/cancel"))
}

/// Reads the answer to `POST /customers`: the customer's id.
///
/// # Errors
/// The answer lacks something, or differs from the request.
pub fn read_registered(body: &[u8], name: &str, limit: Cents) -> Result<i64, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Registered<'a> {
        customer_id: i64,
        name: String,
        #[serde(borrow)]
        amount: &'a RawValue,
    }
    let registered: Registered<'_> = read(body)?;
    expect("name", registered.name.as_str(), name)?;
    expect("amount", amount(registered.amount)?, limit)?;
    positive("customerId", registered.customer_id)
}

/// Reads the answer to `GET /customer/{customerId}`: the credit left.
///
/// # Errors
/// The answer lacks something, or is about another customer.
pub fn read_credit_left(body: &[u8], customer_id: i64) -> Result<Cents, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Customer<'a> {
        id: i64,
        #[serde(borrow)]
        credit_limit: &'a RawValue,
    }
    let customer: Customer<'_> = read(body)?;
    expect("id", customer.id, customer_id)?;
    amount(customer.credit_limit)
}

/// Reads the answer to `POST /orders`: the order's id.
///
/// # Errors
/// The answer lacks something, or differs from the request.
pub fn read_placed(body: &[u8], customer_id: i64, total: Cents) -> Result<i64, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Placed<'a> {
        order_id: i64,
        order_state: OrderState,
        customer_id: i64,
        #[serde(borrow)]
        order_total: &'a RawValue,
    }
    let placed: Placed<'_> = read(body)?;
    expect("orderState", placed.order_state, OrderState::Pending)?;
    expect("customerId", placed.customer_id, customer_id)?;
    expect("orderTotal", amount(placed.order_total)?, total)?;
    positive("orderId", placed.order_id)
}

/// Reads the answer to `GET /orders/{orderId}`: the order's state.
///
/// # Errors
/// The answer lacks something, or is about another order.
pub fn read_order_state(body: &[u8], order_id: i64) -> Result<OrderState, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Order {
        order_id: i64,
        order_state: OrderState,
    }
    let order: Order = read(body)?;
    expect("orderId", order.order_id, order_id)?;
    Ok(order.order_state)
}

/// The customer service over one connection.
#[derive(Debug)]
pub struct CustomerClient(pub Client);

impl CustomerClient {
    /// Registers a customer; returns the id. `name` must need no escape in JSON.
    ///
    /// # Errors
    /// There is no answer, no 2xx, or a promised field is missing.
    pub async fn register(&mut self, name: &str, limit: Cents) -> Result<i64, CallError> {
        let path = customers_path(self.0.url());
        let answer = self
            .0
            .post(&path, Bytes::from(registration(name, limit)))
            .await;
        result(answer, "POST", &path, |body| {
            read_registered(body, name, limit)
        })
    }

    /// The credit that a customer has left.
    ///
    /// # Errors
    /// There is no answer, no 2xx, or a promised field is missing.
    pub async fn credit_left(&mut self, id: i64) -> Result<Cents, CallError> {
        let path = customer_path(self.0.url(), id);
        let answer = self.0.get(&path).await;
        result(answer, "GET", &path, |body| read_credit_left(body, id))
    }
}

/// The order service over one connection.
#[derive(Debug)]
pub struct OrderClient(pub Client);

impl OrderClient {
    /// Places an order; returns the id.
    ///
    /// # Errors
    /// There is no answer, no 2xx, or a promised field is missing.
    pub async fn place(&mut self, customer_id: i64, total: Cents) -> Result<i64, CallError> {
        let path = orders_path(self.0.url());
        let answer = self
            .0
            .post(&path, Bytes::from(order(customer_id, total)))
            .await;
        result(answer, "POST", &path, |body| {
            read_placed(body, customer_id, total)
        })
    }

    /// The state of an order.
    ///
    /// # Errors
    /// There is no answer, no 2xx, or a promised field is missing.
    pub async fn state(&mut self, id: i64) -> Result<OrderState, CallError> {
        let path = order_path(self.0.url(), id);
        let answer = self.0.get(&path).await;
        result(answer, "GET", &path, |body| read_order_state(body, id))
    }
}

/// The result of a call, read from the body of a 2xx.
///
/// # Errors
/// There is no answer, no 2xx, or the body can't be read.
pub fn result<T>(
    answer: Result<Response, RequestError>,
    method: &str,
    path: &str,
    read: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, CallError> {
    let request = || format!("{method} {path}");
    let answer = answer.map_err(|error| CallError::Transport {
        request: request(),
        error,
    })?;
    if !answer.is_success() {
        let status = answer.status;
        return Err(CallError::Status {
            request: request(),
            status,
            body: answer.text(),
        });
    }
    read(&answer.body).map_err(|problem| CallError::Body {
        request: request(),
        body: answer.text(),
        problem,
    })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn amount(number: &RawValue) -> Result<Cents, String> {
    Cents::from_json(number.get()).map_err(|error| error.to_string())
}

fn expect<T: PartialEq + fmt::Display>(field: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{field} must be {expected}, is {found}"))
    }
}

fn positive(field: &str, id: i64) -> Result<i64, String> {
    if id >= 1 {
        Ok(id)
    } else {
        Err(format!("{field} must count from 1, is {id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_those_of_the_contract() {
        assert_eq!(
            registration("Ann", Cents(100_000)),
            r#"{"name":"Ann","creditLimit":{"amount":1000}}"#
        );
        assert_eq!(
            order(1, Cents(1_025)),
            r#"{"customerId":1,"orderTotal":{"amount":10.25}}"#
        );
    }

    #[test]
    fn answers_of_the_contract_are_read() {
        let registered = br#"{"customerId":1,"name":"Ann","amount":1000}"#;
        assert_eq!(read_registered(registered, "Ann", Cents(100_000)), Ok(1));
        let customer = br#"{"id":1,"name":"Ann","creditLimit":700.0}"#;
        assert_eq!(read_credit_left(customer, 1), Ok(Cents(70_000)));
        let placed = br#"{"orderId":9,"orderState":"PENDING","customerId":1,"orderTotal":10.25}"#;
        assert_eq!(read_placed(placed, 1, Cents(1_025)), Ok(9));
        let order = br#"{"orderId":9,"orderState":"REJECTED"}"#;
        assert_eq!(read_order_state(order, 9), Ok(OrderState::Rejected));
    }

    #[test]
    fn an_answer_that_differs_says_where() {
        let placed = br#"{"orderId":9,"orderState":"PENDING","customerId":1,"orderTotal":10.24}"#;
        assert_eq!(
            read_placed(placed, 1, Cents(1_025)),
            Err("orderTotal must be 10.25, is 10.24".to_owned())
        );
        assert!(read_order_state(br#"{"orderId":8,"orderState":"APPROVED"}"#, 9).is_err());
        assert!(read_order_state(br#"{"orderId":9,"orderState":"DONE"}"#, 9).is_err());
        assert!(read_credit_left(br#"{"id":1,"creditLimit":0.30000000000000004}"#, 1).is_err());
        assert!(
            read_registered(
                br#"{"customerId":0,"name":"Ann","amount":1}"#,
                "Ann",
                Cents(100)
            )
            .is_err()
        );
    }
}
