// The order service's rules; `plugins/order` has the same in Rust.
import { Money, NoMoney } from "saga-sdk";
import * as m from "./contract.js";

const record = ({ customerId, orderTotal, state }: m.Order, id: bigint) =>
  ({ id, state, orderDetails: { customerId, orderTotal: { amount: orderTotal } } });
const progress = ({ state, reason }: m.Order, turn: m.OrderTurn) => ({ orderId: turn.key, orderState: state, reason });
const stored = (order: m.Order, turn: m.OrderTurn) => turn.put(order).cancelTimer(m.ANSWER_TIMEOUT);
const released = (order: m.Order, turn: m.OrderTurn) =>
  turn.put({ ...order, credit: "RELEASED" }).publish(m.ORDER_CANCELLED, order.customerId, record(order, turn.key));

export default m.contract
  .create("place-order", "POST /orders", m.place, ({ customerId, orderTotal: { amount } }, turn) => {
    const total = Money.read(amount);
    const why = total instanceof NoMoney ? total.message : "the amount is zero: send more than zero";
    if (total instanceof NoMoney || total.cents === 0n) return turn.refuse(m.INVALID_ORDER_TOTAL, why, "/orderTotal/amount");
    const order: m.Order = { customerId, orderTotal: total, state: "PENDING", credit: "ASKED" };
    const { answer_timeout } = turn.settings;
    return turn.put(order).publish(m.ORDER_CREATED, customerId, record(order, turn.key))
      .setTimer(m.ANSWER_TIMEOUT, turn.time + answer_timeout.millis, answer_timeout)
      .pending({ orderId: turn.key, orderState: "PENDING", customerId, orderTotal: total });
  })
  .change("cancel-order", "POST /orders/{orderId}/cancel", m.cancel, (order, _, turn) => {
    if (order.state === "REJECTED") return turn.refuse(m.ORDER_REJECTED, `order ${turn.key} was rejected, so it can't be cancelled`);
    const ended: m.Order = { ...order, state: "CANCELLED" };
    const decide = order.state === "PENDING" ? stored : released;
    return (order.state === "CANCELLED" ? turn.unchanged() : decide(ended, turn)).reply(progress(ended, turn));
  })
  .read("get-order", "/orders/{orderId}", m.get, progress)
  .on(m.CREDIT_ANSWERED, { group: "customer", key: "/id", untyped: true }, (order, { id, state }, turn) => {
    if (state !== "APPROVED" && state !== "REJECTED") return turn.malformed("the answer's state is neither APPROVED nor REJECTED, so it answers nothing");
    if (!order) return turn.malformed(`there is no order ${id}`);
    if (order.credit !== "ASKED") return turn.unchanged();
    if (order.state === "PENDING") return stored({ ...order, state, credit: state === "APPROVED" ? "RESERVED" : "REFUSED" }, turn);
    return state === "APPROVED" ? released(order, turn) : stored({ ...order, credit: "REFUSED" }, turn);
  })
  .timer(m.ANSWER_TIMEOUT, (order, within, turn) => order.state !== "PENDING" ? turn.unchanged()
    : stored({ ...order, state: "REJECTED", reason: `the customer service did not answer ${within ? `within ${within}` : "in time"}` }, turn));
