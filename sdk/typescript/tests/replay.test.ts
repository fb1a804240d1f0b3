import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { participant, t } from "saga-sdk";
import { type Replayed, replay } from "saga-sdk/testing";
import order from "../examples/order/rules.js";

// Relative to the folder in which tests run.
const FILE = "../../plugins/order/tests/cases/orders.jsonl";
const LINES = readFileSync(FILE, "utf8").trimEnd().split("\n");

function replayed(lines: string[], rules: Parameters<typeof replay>[0] = order): Replayed {
  const folder = mkdtempSync(join(tmpdir(), "saga-sdk-"));
  try {
    writeFileSync(join(folder, "cases.jsonl"), lines.join("\n"));
    return replay(rules, join(folder, "cases.jsonl"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a decision that changed is told with its message and both outcomes", () => {
  const other = LINES.map((line) => line.replaceAll("send at most two decimals", "send whole cents"));
  const found = replayed(other);
  found.changed(1);
  assert.match(found.changes[0] ?? "", /^key \d+, command place-order \(decision \d+\):\n  recorded .*whole cents.*\n  now .*two decimals/);
  assert.throws(() => found.unchanged(), /1 of 8 recorded decisions changed, and 0 were expected to\nkey /);
});

test("states of an older version are migrated, those that were put too", () => {
  const [vector] = JSON.parse(readFileSync("../vectors/order.json", "utf8")).migrations;
  const header = (LINES[0] ?? "").replace(/"state_version":\d+/, `"state_version":${vector.version}`);
  const { digest } = JSON.parse(header).generations[0];
  const message = { id: "m", source: "/s", origin: "command", name: "get-order", key: "1", time: 0, correlation: "c" };
  const reads = { ...message, version: 1, metadata: [], parameters: [], body: null };
  const state = JSON.parse(vector.state);
  const outcome = { state: { put: state }, events: [], timers: [], reply: { done: null } };
  const one = { generation: digest, seq: 1, revision: 1, state, message: reads, outcome };
  const [change] = replayed([header, JSON.stringify(one), '{"decisions":1}']).changes;
  const [, recorded, now] = (change ?? "").split("\n");
  assert.ok(recorded?.includes('"credit":') && now?.includes('"orderState":'), change);
});

test("a file that is none, was cut off, or is of others is refused", () => {
  assert.throws(() => replayed(["{}"]), /is not a file of `saga journal export`/);
  assert.throws(() => replayed(LINES.slice(0, -1)), /was cut off: export it again/);
  const stranger = participant("stranger", "1.0.0", "Is another one.", { state: t.string() });
  assert.throws(() => replayed(LINES, stranger), /are of the participant order, and these are the rules of stranger/);
});
