// What the order service says to others, and its state; `plugins/order` and `plugins/wire` have the same in Rust.
import { type Infer, TimeSpan, type Turn, event, participant, refusal, t, timer } from "saga-sdk";

const state = t.words(["PENDING", "APPROVED", "REJECTED", "CANCELLED"]);
const reason = t.optional(t.string());
const placed = { customerId: t.int64(), orderTotal: t.money(), state };
const credit = t.words(["ASKED", "RESERVED", "REFUSED", "RELEASED"]);
const Order = t.object({ ...placed, credit, reason });
const Settings = t.object({ answer_timeout: t.timeSpan() });
export type Order = Infer<typeof Order>;
export type OrderTurn<R = any> = Turn<Order, bigint, Infer<typeof Settings>, R>;

const orderDetails = t.object({ customerId: t.int64(), orderTotal: t.object({ amount: t.decimal() }) });
export const OrderRecord = t.object({ id: t.int64(), state, orderDetails });
export const ORDER_CREATED = event("saga.order.created", "orderTopic", OrderRecord);
export const CREDIT_ANSWERED = event("saga.customer.credit-answered", "customerTopic", OrderRecord);
export const ORDER_CANCELLED = event("saga.order.cancelled", "cancellationTopic", OrderRecord);
export const ANSWER_TIMEOUT = timer("answer-timeout", t.nullable(t.timeSpan()));

export const INVALID_ORDER_TOTAL = refusal.invalid(
  "invalid-order-total",
  "The order's total is no amount of money above zero: finer than a cent, say.",
);
export const ORDER_REJECTED = refusal.conflict(
  "order-rejected",
  "The order was rejected, so there is nothing to cancel.",
);

const amount = t.decimal({ exclusiveMinimum: 0, maximum: 90_000_000_000_000_000n });
const customerId = t.int64({ minimum: 1, maximum: 9_223_372_036_854_775_807n });
export const place = {
  summary: "Places an order; the customer's credit decides on it later.",
  body: t.object({ customerId, orderTotal: t.object({ amount }) }),
  reply: t.object({ orderId: t.uint64(), orderState: state, customerId: t.int64(), orderTotal: t.money() }),
  refuses: [INVALID_ORDER_TOTAL],
  readableAt: "/orders/{orderId}",
};
const progress = t.object({ orderId: t.uint64(), orderState: state, reason });
export const cancel = {
  summary: "Cancels an order that is pending or approved; its credit is given back.",
  reply: progress,
  refuses: [ORDER_REJECTED],
};
export const get = {
  summary: "Tells how far an order is.",
  reply: progress,
  pendingWhile: (order: Order) => order.state === "PENDING",
};

const CREDIT = { PENDING: "ASKED", CANCELLED: "ASKED", APPROVED: "RESERVED", REJECTED: "REFUSED" } as const;
const summary = "Takes orders and follows them until they are approved, rejected or cancelled.";
export const contract = participant("order", "0.1.0", summary, { state: Order, key: t.uint64() })
  .endpoint("/customer-order/order-service", 8082)
  .settings(Settings, { answer_timeout: TimeSpan.of("5m") })
  .stateVersion(2)
  .migrate(1, t.object(placed), (old): Order => ({ ...old, credit: CREDIT[old.state] }))
  .listing("list-orders", "/orders", "get-order", {
    summary: "Lists the orders, the oldest first.",
    filters: { customerId: "/customerId", state: "/state" },
  })
  .publishes(ORDER_CREATED, ORDER_CANCELLED);
