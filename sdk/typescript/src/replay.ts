// Recorded decisions, made again by the rules as they are now. Part of the test kit.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { canonical } from "./canonical.js";
import { type Json, parse, stringify } from "./json.js";
import type { Participant } from "./participant.js";
import type { Disposition, Message, Outcome } from "./wit.js";

/** Changes that a failed expectation shows. */
const SHOWN = 20;

/** Recorded decisions that were made again. */
export class Replayed {
  /** @internal */
  constructor(
    readonly decisions: number,
    /** The decisions that are others now, in words. */
    readonly changes: string[],
  ) {}

  /** All decisions are the recorded ones. */
  unchanged(): void {
    this.changed(0);
  }

  /** This many decisions are others than the recorded ones. */
  changed(expected: number): void {
    const { decisions, changes } = this;
    const shown = changes.slice(0, SHOWN).join("\n");
    const found = `${changes.length} of ${decisions} recorded decisions changed, and ${expected} were expected to\n${shown}`;
    assert.ok(changes.length === expected, found);
  }
}

/**
 * Makes the decisions of a file again that `saga journal export` wrote, each on its recorded state, with the recorded
 * settings. Throws what is wrong with the file.
 */
export function replay(rules: Participant<any, any, any>, path: string): Replayed {
  const lines = readFileSync(path, "utf8").split("\n").filter((line) => line.trim() !== "");
  const [header, ...cases] = lines.map((line) => parse(line) as any);
  assert.equal(header?.format, "saga-cases", `${path} is not a file of \`saga journal export\``);
  const end = cases.pop();
  assert.equal(Number(end?.decisions), cases.length, `${path} was cut off: export it again`);
  const { name, state, settings } = rules.describe() as any;
  const strangers = `the recorded decisions are of the participant ${header.participant}, and these are the rules of ${name}`;
  assert.equal(header.participant, name, strangers);
  const generations = new Map<string, any>(header.generations.map((one: any) => [one.digest, one]));
  const defaults = settings ? (parse(settings.default) as { [name: string]: Json }) : {};
  const changes = cases.flatMap((one) => {
    const generation = generations.get(one.generation);
    const version = Number(generation.state_version);
    const given = Object.entries<Json>(generation.settings).filter(([name]) => name in defaults);
    let [recorded, now] = [one.outcome as Json, ""];
    try {
      let before = one.state == null ? undefined : stringify(one.state);
      if (version !== state.version) {
        before &&= migrated(rules, version, before);
        const put = one.outcome.state.put;
        if (put !== undefined) recorded = { ...one.outcome, state: { put: parse(migrated(rules, version, stringify(put))) } };
      }
      const decided = rules.handle(before, message(one.message), stringify({ ...defaults, ...Object.fromEntries(given) }));
      now = "tag" in decided ? `${decided.tag}: ${decided.val}` : canonical(shown(decided));
    } catch (error) {
      now = String(error);
    }
    if (canonical(recorded) === now) return [];
    const { key, origin, name } = one.message;
    return [`key ${key}, ${origin} ${name} (decision ${one.seq}):\n  recorded ${canonical(recorded)}\n  now      ${now}`];
  });
  return new Replayed(cases.length, changes);
}

/** A stored state of a version, as these rules write it. */
function migrated(rules: Participant<any, any, any>, version: number, state: string): string {
  const result: string | Disposition = rules.migrated(version, state);
  if (typeof result === "string") return result;
  throw new Error(result.val);
}

function message(one: any): Message {
  const { id, source, origin, name, key, correlation, causation, caller } = one;
  const pairs = (all: [string, string][]) => all.map(([name, value]) => ({ name, value }));
  return {
    ...{ id, source, origin, name, key, correlation, causation },
    caller: caller && { subject: caller.subject, claims: stringify(caller.claims) },
    time: Number(one.time),
    version: Number(one.version),
    metadata: pairs(one.metadata),
    parameters: pairs(one.parameters),
    body: stringify(one.body),
  };
}

/** A decision in the shape of a file. */
function shown({ state, events, timers, reply }: Outcome): Json {
  const value: any = {
    state: state.tag === "put" ? { put: parse(state.val) } : state.tag === "remove" ? "removed" : "unchanged",
    events: events.map(({ eventType, key, body }) => ({ type: eventType, key, body: parse(body) })),
    timers: timers.map((one) =>
      one.tag === "cancel" ? { cancel: one.val } : { set: { ...one.val, due: parse(String(one.val.due)), body: parse(one.val.body) } },
    ),
  };
  if (reply?.tag === "refused") value.reply = { refused: { ...reply.val, pointer: reply.val.pointer ?? null } };
  else if (reply) value.reply = { [reply.tag]: parse(reply.val) };
  return value;
}
