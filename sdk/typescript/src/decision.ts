// The decision of a rule, as it is being made.
import { EventType, type RefusalType, type TimerType } from "./names.js";
import { Mismatch, type Schema } from "./schema.js";
import type { Outcome, StateChange } from "./wit.js";

declare const REPLY: unique symbol;

/** What a rule of a command returns: a decision with its reply. */
export class Answered {
  /** @internal */
  constructor(readonly outcome: Outcome) {}
}

/** A refusal: the business says no. It may be returned or thrown. */
export class Refused extends Answered {}

/** Why a message was not decided. It may be returned or thrown. */
export class Undecided {
  /** @internal */
  constructor(
    readonly tag: "malformed" | "retry-later",
    readonly val: string,
  ) {}
}

/** What the contract says of what a turn may put out. */
export interface Outputs {
  state: Schema<any>;
  reply: Schema<any> | undefined;
  publications: ReadonlyMap<string, EventType<any>>;
  timers: ReadonlyMap<string, TimerType<any>>;
}

/** Writes a value; a mistake of the rules is thrown where they make it, so that it names their line. */
export function written<T>(schema: Schema<T>, value: T, what: string): string {
  try {
    return schema.write(value);
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new TypeError(`${what} is not of its declared shape: ${error}`);
  }
}

/** The decision of a rule on one message: all of it takes effect together, or none of it. */
export class Decision<R = never> {
  declare readonly [REPLY]: R;
  /** @internal */
  readonly outcome: Outcome;

  /** @internal */
  constructor(
    state: StateChange,
    private readonly may: Outputs,
  ) {
    this.outcome = { state, events: [], timers: [], reply: null };
  }

  /** Publishes an event. Events with the same key arrive in the order they were published. */
  publish<B>(event: EventType<B>, key: string | number | bigint, body: B): this {
    if (this.may.publications.get(event.name)?.topic !== event.topic) {
      throw new TypeError(`the event ${event.name} is published, but not declared: add .publishes(…) to the contract`);
    }
    this.outcome.events.push({
      eventType: event.name,
      key: String(key),
      body: written(event.body, body, `the event ${event.name}`),
    });
    return this;
  }

  /** Sets a timer of this aggregate, or moves it, to `due` milliseconds since 1970. In the past means at once. */
  setTimer<B>(timer: TimerType<B>, due: number, body: B): this {
    this.declared(timer);
    if (!Number.isSafeInteger(due) || due < 0) {
      throw new TypeError(`the timer ${timer.name} is due at ${due}, which is no whole number of milliseconds`);
    }
    const text = written(timer.body, body, `the timer ${timer.name}`);
    this.outcome.timers.push({ tag: "set", val: { name: timer.name, due, body: text } });
    return this;
  }

  /** Cancels a timer of this aggregate. One that is not set is fine. */
  cancelTimer(timer: TimerType<any>): this {
    this.declared(timer);
    this.outcome.timers.push({ tag: "cancel", val: timer.name });
    return this;
  }

  /** Answers the command: done. */
  reply(body: R): Answered {
    return this.answered("done", body);
  }

  /** Answers the command: taken, and the saga has yet to decide. */
  pending(body: R): Answered {
    return this.answered("pending", body);
  }

  private answered(tag: "done" | "pending", body: R): Answered {
    const { reply } = this.may;
    if (!reply) throw new TypeError("only commands are answered, and this is an event or a timer");
    return new Answered({ ...this.outcome, reply: { tag, val: written(reply, body, "the reply") } });
  }

  private declared(timer: TimerType<any>): void {
    if (!this.may.timers.has(timer.name)) {
      throw new TypeError(`the timer ${timer.name} is not declared: add .timer(…) to the contract`);
    }
  }
}

/** What a rule of a command may return. */
export type CommandResult = Answered | Undecided;

/** What a rule of an event or a timer may return. */
export type EventResult = Decision<any> | Undecided;

/** @internal */
export function refused(type: RefusalType, detail: string, pointer: string | null): Refused {
  const refusal = { kind: type.kind, code: type.code, detail, pointer };
  const reply = { tag: "refused" as const, val: refusal };
  return new Refused({ state: { tag: "unchanged" }, events: [], timers: [], reply });
}
