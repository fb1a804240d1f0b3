//! The contract of the customer service, and the functions that decide.

use crate::domain::Account;
use crate::messages::{CreditLeft, Register, Registered};
use saga_sdk::{Command, Contract, Decision, EventType, Listing, Method, Refusal};
use saga_sdk::{RefusalType, Subscription, Turn};
use saga_wire::{Money, OrderRecord, OrderState};

/// An order was created and waits for credit.
pub const ORDER_CREATED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CREATED, saga_wire::ORDER_TOPIC);

/// Credit was reserved for an order, or refused.
pub const CREDIT_ANSWERED: EventType<OrderRecord> =
    EventType::new(saga_wire::CREDIT_ANSWERED, saga_wire::CUSTOMER_TOPIC);

/// An order that holds credit was cancelled, or rejected for want of an answer in time.
pub const ORDER_CANCELLED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CANCELLED, saga_wire::CANCELLATION_TOPIC);

/// The limit that a customer asked for can't be granted.
pub const INVALID_CREDIT_LIMIT: RefusalType = RefusalType::invalid(
    "invalid-credit-limit",
    "The credit limit is no amount of money: finer than a cent, say.",
);

/// Key of the customer in a record.
const CUSTOMER_ID: &str = "/orderDetails/customerId";

/// Reserves credit for an order: the account afterwards, or none.
pub(crate) type Reserve = fn(Account, Money) -> Option<Account>;

/// The contract of this version of the rules.
pub(crate) fn contract(version: &str, reserve: Reserve) -> Contract<Account, i64> {
    let reserve_credit = move |account: Option<Account>, order: OrderRecord, _: &Turn<i64>| {
        reserve_credit(account, order, reserve)
    };
    Contract::new(
        "customer",
        version,
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
        CUSTOMER_ID,
        reserve_credit,
    )
    .untyped())
    .on(Subscription::to(
        ORDER_CANCELLED,
        saga_wire::CANCELLATION_GROUP,
        CUSTOMER_ID,
        release_credit,
    ))
    .publishes(CREDIT_ANSWERED)
}

fn register(request: Register, turn: &Turn<i64>) -> Result<Decision<Account, Registered>, Refusal> {
    let limit = request.credit_limit.amount.money().map_err(|error| {
        Refusal::new(INVALID_CREDIT_LIMIT, error.to_string()).at("/creditLimit/amount")
    })?;
    let registered = Registered {
        customer_id: turn.key().cast_unsigned(),
        name: request.name.clone(),
        amount: limit,
    };
    Ok(Decision::put(Account::open(request.name, limit)).reply(registered))
}

fn credit_left(account: &Account, turn: &Turn<i64>) -> CreditLeft {
    CreditLeft {
        id: turn.key().cast_unsigned(),
        name: account.name.clone(),
        credit_limit: account.available,
    }
}

fn reserve_credit(
    account: Option<Account>,
    order: OrderRecord,
    reserve: Reserve,
) -> Decision<Account> {
    if order.state != OrderState::Pending {
        return Decision::malformed("the order's state is not PENDING, so it asks for no credit");
    }
    let customer = order.order_details.customer_id;
    let amount = order.order_details.order_total.amount.money();
    let reserved = account
        .zip(amount.ok())
        .and_then(|(account, amount)| reserve(account, amount));
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

fn release_credit(
    account: Option<Account>,
    order: OrderRecord,
    _: &Turn<i64>,
) -> Decision<Account> {
    let details = order.order_details;
    if !matches!(order.state, OrderState::Cancelled | OrderState::Rejected) {
        return Decision::malformed("the order's state is neither CANCELLED nor REJECTED");
    }
    let Some(account) = account else {
        return Decision::malformed(format!("there is no customer {}", details.customer_id));
    };
    let amount = match details.order_total.amount.money() {
        Ok(amount) => amount,
        Err(error) => return Decision::malformed(error.to_string()),
    };
    match account.release(amount) {
        Some(account) => Decision::put(account),
        None => Decision::malformed(format!(
            "order {} would give back more credit than is reserved",
            order.id
        )),
    }
}
