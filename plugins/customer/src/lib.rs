//! The customer service of the Customer/Order saga: keeps each customer's credit and reserves it
//! for orders.
//!
//! On every order it answers with exactly one event, `APPROVED` or `REJECTED`. Refused are an
//! unknown customer, more than what is left, and an amount that is no money (zero, negative, finer
//! than a cent, beyond 9·10¹⁶): the order was placed, so its saga has to end. A record that is no
//! pending order is malformed.
//!
//! What the first implementations of this saga got wrong, and what rules it out here:
//!
//! | defect | here |
//! |---|---|
//! | a reservation is taken off the limit and off a sum of reservations | one number is lowered, once ([`domain`]) |
//! | save, then publish: a crash between the two loses the event | state and event are one decision |
//! | a record that comes twice is applied twice | the host offers one event id once |
//! | any exception, an outage included, becomes a rejection | a rule sees no outage; only these rules reject |
//! | the consumer swallows its errors | `malformed` becomes a dead letter with its reason |

pub mod domain;
pub mod messages;

use domain::Account;
use messages::{CreditLeft, Register, Registered};
use saga_sdk::{Command, Contract, Decision, Declined, EventType, Listing, Method, Participant};
use saga_sdk::{Refusal, RefusalType, Subscription, Turn, Undecided};
use saga_wire::{OrderRecord, OrderState};

/// An order was created and waits for credit.
pub const ORDER_CREATED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CREATED, saga_wire::ORDER_TOPIC);

/// Credit was reserved for an order, or refused.
pub const CREDIT_ANSWERED: EventType<OrderRecord> =
    EventType::new(saga_wire::CREDIT_ANSWERED, saga_wire::CUSTOMER_TOPIC);

/// The limit that a customer asked for can't be granted.
pub const INVALID_CREDIT_LIMIT: RefusalType = RefusalType::invalid(
    "invalid-credit-limit",
    "The credit limit is no amount of money: finer than a cent, say.",
);

/// The participant.
pub struct Customer;

impl Participant for Customer {
    type State = Account;

    fn contract() -> Contract<Account> {
        Contract::new(
            "customer",
            env!("CARGO_PKG_VERSION"),
            "Keeps customers' credit and reserves it for orders.",
        )
        .endpoint("/customer-order/customer-service", 8081)
        .command(
            Command::create("register-customer", Method::Post, "/customers", register)
                .summary("Registers a customer with a credit limit.")
                .readable_at("/customer/{customerId}")
                .refuses(INVALID_CREDIT_LIMIT),
        )
        .command(
            Command::read("get-customer", "/customer/{customerId}", credit_left)
                .summary("Tells a customer's name and how much credit is left."),
        )
        .listing(
            Listing::of("list-customers", "/customers", "get-customer")
                .summary("Lists the customers in the order in which they registered."),
        )
        .on(Subscription::to(
            ORDER_CREATED,
            saga_wire::ORDER_GROUP,
            "/orderDetails/customerId",
            reserve_credit,
        )
        .untyped())
        .publishes(CREDIT_ANSWERED)
    }
}

saga_sdk::export!(Customer);

fn register(request: Register, turn: &Turn) -> Result<Decision<Account, Registered>, Declined> {
    let limit = request.credit_limit.amount.money().map_err(|error| {
        Refusal::new(INVALID_CREDIT_LIMIT, error.to_string()).at("/creditLimit/amount")
    })?;
    let registered = Registered {
        customer_id: turn.number()?,
        name: request.name.clone(),
        amount: limit,
    };
    Ok(Decision::put(Account::open(request.name, limit)).reply(registered))
}

fn credit_left(account: &Account, turn: &Turn) -> Result<CreditLeft, Undecided> {
    Ok(CreditLeft {
        id: turn.number()?,
        name: account.name.clone(),
        credit_limit: account.available,
    })
}

fn reserve_credit(account: Option<Account>, order: OrderRecord, _: &Turn) -> Decision<Account> {
    if order.state != OrderState::Pending {
        return Decision::malformed("the order's state is not PENDING, so it asks for no credit");
    }
    let customer = order.order_details.customer_id;
    let amount = order.order_details.order_total.amount.money();
    let reserved = account
        .zip(amount.ok())
        .and_then(|(account, amount)| account.reserve(amount));
    match reserved {
        Some(account) => {
            let answer = order.with_state(OrderState::Approved);
            Decision::put(account).publish(CREDIT_ANSWERED, customer, &answer)
        }
        None => {
            let answer = order.with_state(OrderState::Rejected);
            Decision::unchanged().publish(CREDIT_ANSWERED, customer, &answer)
        }
    }
}
