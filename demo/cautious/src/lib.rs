//! The customer service once more, grown cautious: no single order above 10,000 is approved, whatever
//! credit is left.
//!
//! What the demonstration and the measurement of swaps put in the place of `plugins/customer`. It is the
//! same participant (name, routes, topics, state; a test compares the descriptions), so a host takes it
//! while it runs; only the decision on a large order differs. Domain and messages are the files of that
//! crate, not copies: linking the crate itself would export its participant too.

#[path = "../../../plugins/customer/src/domain.rs"]
pub mod domain;
#[path = "../../../plugins/customer/src/messages.rs"]
pub mod messages;

use domain::Account;
use messages::{CreditLeft, Register, Registered};
use saga_sdk::{Command, Contract, Decision, Declined, EventType, Listing, Method, Participant};
use saga_sdk::{Refusal, RefusalType, Subscription, Turn, Undecided};
use saga_wire::{Money, OrderRecord, OrderState};

/// An order was created and waits for credit.
pub const ORDER_CREATED: EventType<OrderRecord> =
    EventType::new(saga_wire::ORDER_CREATED, saga_wire::ORDER_TOPIC);

/// Credit was reserved for an order, or refused.
pub const CREDIT_ANSWERED: EventType<OrderRecord> =
    EventType::new(saga_wire::CREDIT_ANSWERED, saga_wire::CUSTOMER_TOPIC);

/// The largest order that may be approved. The load generator's orders that must be approved are all
/// far below it, so its books hold for either build.
pub const LARGEST_ORDER: Money = Money::whole(10_000);

/// The limit that a customer asked for can't be granted.
pub const INVALID_CREDIT_LIMIT: RefusalType = RefusalType::invalid(
    "invalid-credit-limit",
    "The credit limit is no amount of money: finer than a cent, say.",
);

/// The participant.
pub struct CautiousCustomer;

impl Participant for CautiousCustomer {
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

saga_sdk::export!(CautiousCustomer);

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
        .zip(amount.ok().filter(|amount| *amount <= LARGEST_ORDER))
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
