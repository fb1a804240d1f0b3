// Tests of rules, given/when/then. An expectation that does not hold throws an AssertionError.
import assert from "node:assert/strict";
import { canonical } from "./canonical.js";
import { parse, stringify } from "./json.js";
import type { EventType, RefusalType, TimerType } from "./names.js";
import type { Participant } from "./participant.js";
import type { Disposition, Message, Outcome } from "./wit.js";

export { type Replayed, replay } from "./replay.js";

type Rules = Participant<any, any, any>;

/** The state type of rules. */
export type StateOf<P> = P extends Participant<infer S, any, any> ? S : never;

/** The rules, for an aggregate in this state; without one, there is none. */
export function given<P extends Rules>(rules: P, state?: StateOf<P>): Scenario<P> {
  const inner = rules as unknown as Inner;
  return new Scenario(inner, state === undefined ? undefined : inner.state.write(state));
}

/** The same for a stored state in JSON. */
export function givenJson<P extends Rules>(rules: P, state: string): Scenario<P> {
  return new Scenario<P>(rules as unknown as Inner, state);
}

/** A stored state of this version, as the rules read and write it. Throws what they say of one that they can't read. */
export function migrated(rules: Rules, version: number, state: string): string {
  const result = rules.migrated(version, state);
  if (typeof result === "string") return result;
  throw new assert.AssertionError({ message: result.val });
}

/** What of a participant the kit reads. */
interface Inner {
  state: { write(value: unknown): string };
  given?: { schema: { write(value: unknown): string }; default: unknown };
  commands: Map<string, { describe(): any }>;
  subscriptions: Map<string, unknown>;
  timers: Map<string, unknown>;
  handle(state: string | undefined, message: Message, settings: string): Outcome | Disposition;
}

/** What is given. */
export class Scenario<P extends Rules> {
  private message: Message = {
    id: "message-1",
    source: "/test",
    origin: "command",
    name: "",
    key: "1",
    time: 0,
    correlation: "correlation-1",
    metadata: [],
    version: 1,
    parameters: [],
    body: "null",
  };
  private options: string | undefined;
  private older: number | undefined;

  /** @internal */
  constructor(
    private readonly rules: Inner,
    private readonly state: string | undefined,
  ) {}

  /** The key of the aggregate; `1` without it. */
  key(key: string | number | bigint): this {
    return this.with({ key: String(key) });
  }

  /** The time of the turn in milliseconds since 1970; 0 without it. */
  time(time: number): this {
    return this.with({ time });
  }

  /** The identity of the message. */
  id(id: string): this {
    return this.with({ id });
  }

  /** The version of the event's body, where it is not the present one. */
  version(version: number): this {
    this.older = version;
    return this;
  }

  /** Headers that the contract asks for. */
  metadata(headers: { [name: string]: string }): this {
    return this.with({ metadata: Object.entries(headers).map(([name, value]) => ({ name, value })) });
  }

  /** Parameters in the path of the command. */
  parameters(parameters: { [name: string]: string }): this {
    return this.with({ parameters: Object.entries(parameters).map(([name, value]) => ({ name, value })) });
  }

  /** Who sends the command, with these claims. */
  caller(subject: string, claims: { [name: string]: unknown } = {}): this {
    return this.with({ caller: { subject, claims: stringify(claims) } });
  }

  /** The operator's settings, instead of the default ones. */
  settings(settings: P extends Participant<any, any, infer C> ? C : never): this {
    assert.ok(this.rules.given, "the rules declare no settings");
    this.options = this.rules.given.schema.write(settings);
    return this;
  }

  /** A client sends a command, with a body of any value that JSON has. */
  whenCommand(name: string, body: unknown = null): Then<P> {
    return this.whenCommandJson(name, stringify(body));
  }

  /** A client sends a command with this body. */
  whenCommandJson(name: string, body: string): Then<P> {
    assert.ok(this.rules.commands.has(name), `the contract has no command ${name}`);
    return this.when({ origin: "command", name, body });
  }

  /** An event arrives. */
  whenEvent<B>(event: EventType<B>, body: B): Then<P> {
    return this.whenEventJson(event, event.body.write(body));
  }

  /** An event arrives with this body. */
  whenEventJson(event: EventType<any>, body: string): Then<P> {
    assert.ok(this.rules.subscriptions.has(event.name), `the contract has no subscription ${event.name}`);
    return this.when({ origin: "event", name: event.name, version: this.older ?? event.version, body });
  }

  /** A timer is due. */
  whenTimer<B>(timer: TimerType<B>, body: B): Then<P> {
    assert.ok(this.rules.timers.has(timer.name), `the contract has no timer ${timer.name}`);
    return this.when({ origin: "timer", name: timer.name, body: timer.body.write(body) });
  }

  private with(more: Partial<Message>): this {
    Object.assign(this.message, more);
    return this;
  }

  private when(more: Partial<Message>): Then<P> {
    const { given } = this.rules;
    const settings = this.options ?? (given ? given.schema.write(given.default) : "{}");
    const decide = () => this.rules.handle(this.state, { ...this.message, ...more }, settings);
    const [first, again] = [decide(), decide()];
    assert.deepEqual(
      again,
      first,
      "the rules decided otherwise when they were asked again: they keep something from turn to turn (a variable of a module, say)",
    );
    const refusals = more.origin === "command" ? this.rules.commands.get(more.name ?? "")?.describe().refusals : [];
    return new Then(first, refusals, (state) => {
      const next = new Scenario<P>(this.rules, state === undefined ? this.state : state ?? undefined);
      next.options = this.options;
      return next.with({ key: this.message.key, time: this.message.time });
    });
  }
}

/** What the rules decided. */
export class Then<P extends Rules = Rules> {
  private published_ = 0;

  /** @internal */
  constructor(
    private readonly decided: Outcome | Disposition,
    refusals: { code: string; kind: string }[],
    /** The scenario after it, of the new state; null if there is none now, undefined if it is as it was. */
    private readonly next: (state: string | null | undefined) => Scenario<P>,
  ) {
    const reply = "tag" in decided ? undefined : decided.reply;
    if (reply?.tag === "refused") {
      const { code } = reply.val;
      assert.ok(
        refusals.some((one) => one.code === code),
        `the command refused with ${code}, which it does not declare: add it to \`refuses\``,
      );
    }
  }

  private get outcome(): Outcome {
    if ("tag" in this.decided) assert.fail(`it was not decided, but ${this.decided.tag}: ${this.decided.val}`);
    return this.decided;
  }

  /** What is given after this decision: the aggregate as it is now. */
  andThen(): Scenario<P> {
    const { state } = this.outcome;
    if (state.tag === "put") return this.next(state.val);
    return this.next(state.tag === "remove" ? null : undefined);
  }

  /** The new state is this one; a member that is left out is one that is missing. */
  state(state: unknown): this {
    const { state: change } = this.outcome;
    assert.equal(change.tag, "put", `the state is ${change.tag === "put" ? "put" : change.tag}`);
    if (change.tag === "put") same(change.val, stringify(state), "the state");
    return this;
  }

  /** The state stays as it is. */
  unchanged(): this {
    assert.deepEqual(this.outcome.state, { tag: "unchanged" });
    return this;
  }

  /** The aggregate is removed. */
  removed(): this {
    assert.deepEqual(this.outcome.state, { tag: "remove" });
    return this;
  }

  /** The next event that was published is this one. */
  published<B>(event: EventType<B>, key: string | number | bigint, body: B): this {
    const next = this.outcome.events[this.published_++];
    assert.ok(next, `no further event was published; expected ${event.name}`);
    assert.equal(next.eventType, event.name);
    assert.equal(next.key, String(key));
    same(next.body, event.body.write(body), `the event ${event.name}`);
    return this;
  }

  /** No further event was published. */
  publishedNoMore(): this {
    const more = this.outcome.events.slice(this.published_);
    assert.deepEqual(more, [], "further events were published");
    return this;
  }

  /** This timer was set. */
  timerSet<B>(timer: TimerType<B>, due: number, body: B): this {
    const set = this.outcome.timers.find((one) => one.tag === "set" && one.val.name === timer.name);
    assert.ok(set?.tag === "set", `the timer ${timer.name} was not set`);
    assert.equal(Number(set.val.due), due);
    same(set.val.body, timer.body.write(body), `the timer ${timer.name}`);
    return this;
  }

  /** This timer was cancelled. */
  timerCancelled(timer: TimerType<any>): this {
    const is = this.outcome.timers.some((one) => one.tag === "cancel" && one.val === timer.name);
    assert.ok(is, `the timer ${timer.name} was not cancelled`);
    return this;
  }

  /** The command is answered: done. */
  replied(body: unknown): this {
    return this.answered("done", body);
  }

  /** The command is answered: taken, and the saga has yet to decide. */
  repliedPending(body: unknown): this {
    return this.answered("pending", body);
  }

  /** The command is refused. */
  refused(type: RefusalType): this {
    const { reply } = this.outcome;
    assert.ok(reply?.tag === "refused", `it is not refused, but ${reply?.tag ?? "not answered"}`);
    assert.deepEqual([reply.val.code, reply.val.kind], [type.code, type.kind]);
    return this;
  }

  /** The refusal is about this place in the body. */
  refusedAt(pointer: string): this {
    const { reply } = this.outcome;
    assert.equal(reply?.tag === "refused" ? reply.val.pointer : undefined, pointer);
    return this;
  }

  /** The message can never be decided, for a reason that has these words. */
  malformed(words = ""): void {
    this.declined("malformed", words);
  }

  /** The message is to be offered again, for a reason that has these words. */
  retriedLater(words = ""): void {
    this.declined("retry-later", words);
  }

  private declined(tag: string, words: string): void {
    assert.ok("tag" in this.decided, `it was decided, and not ${tag}`);
    assert.equal(this.decided.tag, tag);
    assert.ok(this.decided.val.includes(words), `the reason is: ${this.decided.val}`);
  }

  private answered(tag: "done" | "pending", body: unknown): this {
    const { reply } = this.outcome;
    assert.ok(reply && reply.tag === tag, `the reply is ${reply?.tag ?? "missing"}, and not ${tag}`);
    if (reply.tag === tag) same(reply.val, stringify(body), "the reply");
    return this;
  }
}

/** Compares JSON by its members, in whatever order, and its numbers by their digits. */
function same(found: string, expected: string, what: string): void {
  const [one, other] = [found, expected].map((text) => canonical(parse(text)));
  assert.equal(one, other, `${what} is another one`);
}
