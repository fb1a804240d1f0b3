// The vectors that the order rules of every language run; `sdk/vectors/README.md` says what they are.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import order from "../rules.js";

const vectors = JSON.parse(readFileSync("../../../vectors/order.json", "utf8"));

/** A reason, if the rules gave it: each SDK has its own words. */
function reason(text: string): string | null {
  return /^(the body is not|the key |these rules know no)/.test(text) ? null : text;
}

/** A decision, as vectors have it. */
function told(decided: any): unknown {
  if (decided.tag) return { [decided.tag]: reason(decided.val) };
  const { state, events, timers, reply } = decided;
  return {
    outcome: {
      state: state.tag === "put" ? { put: state.val } : state.tag,
      events: events.map(({ eventType, key, body }: any) => ({ type: eventType, key, body })),
      timers: timers.map(({ tag, val }: any) => ({ [tag]: val })),
      reply: reply && { [reply.tag]: reply.val },
    },
  };
}

for (const { name, state, message, settings, result } of vectors.cases) {
  test(`vector: ${name}`, () => {
    const offered = { ...message, metadata: [], parameters: [] };
    assert.deepEqual(told(order.handle(state, offered, settings)), result);
  });
}

for (const { name, version, state, result } of vectors.migrations) {
  test(`migration: ${name}`, () => {
    const migrated = order.migrated(version, state);
    assert.deepEqual(typeof migrated === "string" ? { state: migrated } : { malformed: null }, result);
  });
}
