// What a turn gives, what a contract says, and what the test kit finds.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { event, participant, refusal, t, timer } from "saga-sdk";
import { given, migrated } from "saga-sdk/testing";
import { TurnRandom, sha256 } from "../src/random.js";
import { inTurn } from "../src/sandbox.js";
import type { Message } from "../src/wit.js";

const message = { source: "/s", id: "é", key: "k", time: 7_000 } as Message;

test("the stream of random numbers is the one that the host gives to all rules", () => {
  const text = Buffer.alloc(200, "saga");
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 200]) {
    const bytes = text.subarray(0, length);
    assert.deepEqual(Buffer.from(sha256(bytes)), createHash("sha256").update(bytes).digest());
  }
  const length = (of: string) => Buffer.from(new BigUint64Array([BigInt(Buffer.byteLength(of))]).buffer);
  const identity = Buffer.concat(["/s", "é", "k"].flatMap((one) => [length(one), Buffer.from(one)]));
  const block = (n: number) =>
    createHash("sha256").update(Buffer.from(new BigUint64Array([BigInt(n)]).buffer)).update(identity).digest();
  const random = new TurnRandom(message);
  const drawn = Buffer.from(Array.from({ length: 64 }, () => random.byte()));
  assert.deepEqual(drawn, Buffer.concat([block(0), block(1)]));
  const numbers = Array.from({ length: 1_000 }, () => random.number());
  assert.ok(numbers.every((one) => one >= 0 && one < 1) && new Set(numbers).size === 1_000);
});

test("in a turn time, random numbers and ids are those of the message; outside, those of the machine", () => {
  const values = () => [Date.now(), new Date().getTime(), Math.random(), crypto.randomUUID()];
  const [first, again] = [inTurn(message, values), inTurn(message, values)];
  assert.deepEqual(again, first);
  assert.deepEqual(first.slice(0, 2), [7_000, 7_000]);
  assert.match(String(first[3]), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(Date.now() > 1_700_000_000_000 && new Date() instanceof Date && new Date(5).getTime() === 5);
  assert.notEqual(Math.random(), Math.random());
  assert.throws(() => inTurn(undefined, () => Date.now()), /the time is a value of a turn/);
});

test("JSON.parse fails where it would lose digits, in a turn", () => {
  const parse = (text: string) => inTurn(message, () => JSON.parse(text));
  assert.throws(() => parse('{"a":9007199254740993}'), /use parse of saga-sdk/);
  assert.throws(() => parse("0.12345678901234567890"), RangeError);
  assert.deepEqual(parse('{"a":[12,10.10,1e3],"b":"9007199254740993"}'), { a: [12, 10.1, 1000], b: "9007199254740993" });
  assert.equal(JSON.parse("9007199254740993"), 9007199254740992);
});

const Count = t.object({ count: t.integer() });
const COUNTED = event("counted", "counts", Count, 2);
const LATER = timer("later");
const FULL = refusal.conflict("full", "It is full.");

let calls = 0;
const counter = participant("counter", "1.0.0", "Counts.", { state: Count, key: t.string() })
  .stateVersion(3)
  .migrate(1, t.object({ n: t.integer() }), ({ n }) => ({ number: n }))
  .migrate(2, t.object({ number: t.integer() }), ({ number }) => ({ count: number }))
  .create("begin", "POST /counters", { summary: "Begins.", body: t.object({ name: t.string() }), keyInBody: "/name" }, (_, turn) =>
    turn.put({ count: 0 }).reply(null),
  )
  .change("count", "POST /counters/{name}", { summary: "Counts.", reply: Count, refuses: [FULL] }, (state, _, turn) => {
    if (state.count >= 3) throw turn.refuse(FULL, "three are enough");
    const count = { count: state.count + 1 };
    return turn.put(count).publish(COUNTED, turn.key, count).setTimer(LATER, turn.time + 1_000, null).reply(count);
  })
  .change("keep", "POST /counters/{name}/keep", { summary: "Keeps.", reply: Count }, (_, __, turn) =>
    turn.unchanged().reply({ count: (calls += 1) }),
  )
  .change("undeclared", "POST /counters/{name}/undeclared", { summary: "Refuses." }, (_, __, turn) => turn.refuse(FULL, "no"))
  .on(
    COUNTED,
    { group: "counter", key: "/name", older: [{ version: 1, body: t.object({ n: t.integer() }), upcast: ({ n }) => ({ count: n }) }] },
    (state, body, turn) => (state ? turn.put(body) : turn.retryLater("it has yet to begin")),
  )
  .timer(LATER, (_, __, turn) => turn.remove())
  .publishes(COUNTED);

test("a decision is what the rules say", () => {
  given(counter).key("a").whenCommand("begin", { name: "a" }).state({ count: 0 }).replied(null).publishedNoMore();
  given(counter, { count: 1 })
    .key("a")
    .time(5)
    .whenCommand("count")
    .state({ count: 2 })
    .published(COUNTED, "a", { count: 2 })
    .publishedNoMore()
    .timerSet(LATER, 1_005, null)
    .replied({ count: 2 })
    .andThen()
    .whenTimer(LATER, null)
    .removed()
    .andThen()
    .whenTimer(LATER, null)
    .unchanged();
  given(counter, { count: 3 }).whenCommand("count").unchanged().refused(FULL);
  given(counter).whenEvent(COUNTED, { count: 1 }).retriedLater("yet to begin");
  given(counter, { count: 0 }).version(1).whenEventJson(COUNTED, '{"n":7}').state({ count: 7 });
  given(counter, { count: 0 }).version(9).whenEventJson(COUNTED, "{}").malformed("no upcast reads version 9");
});

test("states of older versions are read", () => {
  for (const [version, state] of [[1, '{"n":4}'], [2, '{"number":4}'], [3, '{"count":4}']] as const) {
    assert.equal(migrated(counter, version, state), '{"count":4}');
  }
  assert.throws(() => migrated(counter, 4, "{}"), /no migration reads it/);
});

test("an expectation that does not hold fails", () => {
  const then = given(counter, { count: 1 }).whenCommand("count");
  for (const expect of [
    () => then.unchanged(),
    () => then.state({ count: 3 }),
    () => then.replied({ count: 3 }),
    () => then.repliedPending({ count: 2 }),
    () => then.refused(FULL),
    () => then.malformed(),
    () => then.publishedNoMore(),
    () => then.timerCancelled(LATER),
    () => then.published(COUNTED, "other", { count: 2 }),
    () => given(counter).whenCommand("none"),
    () => given(counter, { count: 1 }).whenCommand("undeclared"),
  ]) {
    assert.throws(expect, assert.AssertionError, String(expect));
  }
});

test("rules that keep something from turn to turn are found", () => {
  assert.throws(() => given(counter, { count: 1 }).whenCommand("keep"), /they keep something from turn to turn/);
});

test("a contract that contradicts itself is refused", () => {
  const twice = () => participant("p", "1", "P.", { state: Count }).publishes(COUNTED, COUNTED);
  assert.throws(twice, /the publication counted is declared twice/);
  const lost = participant("p", "1", "P.", { state: Count }).listing("l", "/l", "get", { summary: "L.", filters: { a: "/a" } });
  assert.throws(() => lost.describe(), /a filter is at \/a, where the state has no member/);
});
