// The rules of the inventory in TypeScript: the same as in the Rust crate beside this folder, which says why they are so.
import { type Infer, event, participant, refusal, t } from "saga-sdk";

const MOST = 4_294_967_295;
const [order, item, pieces] = [t.uint64(), t.string(), t.uint32()];
const Item = t.object({ free: pieces, reserved: t.mapByNumber(pieces), shipped: pieces });
type Item = Infer<typeof Item>;

const ORDER_PLACED = event("fulfilment.order.placed", "fulfilment-orders", t.object({ order, item, quantity: pieces }));
const ORDER_CLOSED = event("fulfilment.order.closed", "fulfilment-orders", t.object({ order, item, shipped: t.boolean() }));
const STOCK_ANSWERED = event("fulfilment.stock.answered", "fulfilment-stock", t.object({ order, reserved: t.boolean() }));
const NOTHING_DELIVERED = refusal.invalid("nothing-delivered", "The delivery is empty.");
const TOO_MANY = refusal.conflict("too-many", "There would be more pieces than can be counted.");

const deliver = {
  summary: "Takes in a delivery of an item.",
  body: t.object({ quantity: pieces }),
  reply: Item,
  refuses: [NOTHING_DELIVERED, TOO_MANY],
};
const NONE: Item = { free: 0, reserved: new Map(), shipped: 0 };

export default participant("inventory", "0.1.0", "Keeps the stock of items and reserves it for orders.", { state: Item })
  .endpoint("/fulfilment", 8092)
  .publishes(STOCK_ANSWERED)
  .upsert("deliver", "POST /items/{item}/deliveries", deliver, (item = NONE, { quantity }, turn) => {
    if (quantity === 0) return turn.refuse(NOTHING_DELIVERED, "the delivery is empty: send a quantity above 0", "/quantity");
    const counted = [...item.reserved.values(), item.free, item.shipped].reduce((sum, one) => sum + one);
    const isTooMuch = counted + quantity > MOST;
    if (isTooMuch) return turn.refuse(TOO_MANY, `${counted} pieces are counted already: send fewer`, "/quantity");
    const more = { ...item, free: item.free + quantity };
    return turn.put(more).reply(more);
  })
  .read("get-item", "/items/{item}", { summary: "Tells the stock of an item.", reply: Item }, (item) => item)
  .listing("list-items", "/items", "get-item", { summary: "Lists the items." })
  .on(ORDER_PLACED, { group: "inventory", key: "/item" }, (item, { order, quantity }, turn) => {
    // Asked again: the answer is the same.
    if (item?.reserved.has(order)) return turn.unchanged().publish(STOCK_ANSWERED, order, { order, reserved: true });
    if (!item || item.free < quantity) return turn.unchanged().publish(STOCK_ANSWERED, order, { order, reserved: false });
    const reserved = new Map([...item.reserved, [order, quantity]]);
    const left = { ...item, free: item.free - quantity, reserved };
    return turn.put(left).publish(STOCK_ANSWERED, order, { order, reserved: true });
  })
  .on(ORDER_CLOSED, { group: "inventory", key: "/item" }, (item, { order, shipped }, turn) => {
    const quantity = item?.reserved.get(order);
    // Nothing was reserved, or it was closed before.
    if (!item || quantity === undefined) return turn.unchanged();
    const rest = { ...item, reserved: new Map([...item.reserved].filter(([one]) => one !== order)) };
    return turn.put(shipped ? { ...rest, shipped: item.shipped + quantity } : { ...rest, free: item.free + quantity });
  });
