// Rules that do what rules may not, or should not: one trap for each name.
import { type CommandResult, Decimal, Money, TimeSpan, type Turn, event, participant, t } from "saga-sdk";

const State = t.object({ customer: t.optional(t.int64()), amount: t.optional(t.decimal()), list: t.optional(t.list(t.json())) });
type State = { customer?: bigint; amount?: Decimal; list?: any[] };
const Body = t.object({
  trap: t.string(),
  customer: t.optional(t.int64()),
  amount: t.optional(t.decimal()),
  depth: t.optional(t.integer()),
});
const TRAPPED = event("trapped", "traps", t.object({ trap: t.string(), name: t.string() }));

let calls = 0;

class Odd extends Error {
  override name = "Odd";
}

function deep(depth: number): number {
  return depth === 0 ? 0 : 1 + deep(depth - 1);
}

function thrown(what: unknown): never {
  throw what;
}

type ThisTurn = Turn<State, string, null, any>;

/** What each trap does; a value goes into the reply. */
const traps: { [name: string]: (turn: ThisTurn, body: any) => unknown } = {
  nothing: () => null,
  error: () => thrown(new Error("no such luck")),
  "type-error": () => (undefined as any).member,
  "range-error": () => new Array(-1),
  "syntax-error": () => JSON.parse("{"),
  odd: () => thrown(new Odd("of a class of its own")),
  text: () => thrown("only a text"),
  object: () => thrown({ tag: "malformed", val: "not by the SDK" }),
  cause: () => thrown(new Error("outer", { cause: new Error("inner") })),
  assertion: () => Money.of("0.001"),
  recursion: (_, { depth }) => deep(depth),
  "no-end": () => deep(Infinity),
  spin: () => {
    for (;;);
  },
  memory: () => {
    const all: unknown[] = [];
    for (;;) all.push(new Array(100_000).fill(7));
  },
  random: () => [Math.random(), Math.random()],
  now: () => [Date.now(), new Date().toISOString(), new Date(5).getTime(), performance.now()],
  uuid: () => [crypto.randomUUID(), crypto.randomUUID()],
  global: () => (calls += 1),
  set: () => [...new Set(["pear", "apple", "fig", "apple", "cherry"])],
  parse: () => JSON.parse('{"customer": 9007199254740993}').customer,
  "parse-exactly": () => JSON.parse('{"customer": 12, "amount": 10.10}'),
  bigint: () => JSON.stringify({ customer: 9007199254740993n }),
  timeout: () => setTimeout(() => {}, 1),
  fetch: () => fetch("http://127.0.0.1/"),
  undeclared: (turn) => turn.unchanged().publish(event("other", "traps", t.string()), 1, "x"),
  shape: (turn) => turn.put({ customer: "7" as any }),
};

export default participant("traps", "0.1.0", "Does what rules should not.", { state: State })
  .endpoint("", 0)
  .upsert("trap", "POST /traps/{key}", { summary: "Falls into a trap.", body: Body, reply: t.json() }, (state, body, turn) => {
    const trap = traps[body.trap];
    if (!trap) return turn.malformed(`there is no trap ${body.trap}`);
    const value = trap(turn, body) as any;
    const { customer, amount } = body;
    return turn.put({ customer, amount }).reply({ value: plain(value), customer: state?.customer?.toString() ?? null });
  })
  .upsert("late", "POST /traps/{key}/late", { summary: "Imports late.", body: Body, reply: t.json() }, (async (
    _state: unknown,
    _body: unknown,
    turn: ThisTurn,
  ) => {
    const { late } = await import("./late.js");
    return turn.unchanged().reply(late());
  }) as any as () => CommandResult)
  .read("get", "/traps/{key}", { summary: "Shows a state.", reply: State }, (state) => state)
  .on(TRAPPED, { group: "traps", key: "/name" }, (_, { trap }, turn) => {
    traps[trap]?.(turn, {});
    return turn.unchanged();
  });

/** Numbers as JSON has them here. */
function plain(value: any): any {
  if (typeof value === "number") return new Decimal(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof TimeSpan || typeof value !== "object" || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
}
