// Names with a type behind them: events, timers, refusals.
import { type Schema, t } from "./schema.js";

/** A type of events: its name, its topic, and the shape of its body. */
export class EventType<B> {
  constructor(
    readonly name: string,
    readonly topic: string,
    readonly body: Schema<B>,
    readonly version: number,
  ) {}
}

/** A type of events. `version` of the body counts from 1. */
export function event<B>(name: string, topic: string, body: Schema<B>, version = 1): EventType<B> {
  return new EventType(name, topic, body, version);
}

/** A timer: its name, and the shape of its body. */
export class TimerType<B> {
  constructor(
    readonly name: string,
    readonly body: Schema<B>,
  ) {}
}

/** A timer of an aggregate; without a schema its body says nothing. */
export function timer(name: string): TimerType<null>;
export function timer<B>(name: string, body: Schema<B>): TimerType<B>;
export function timer(name: string, body: Schema<any> = t.nothing()): TimerType<any> {
  return new TimerType(name, body);
}

/** Kinds of refusals: 422, 404, 409 and 403 over HTTP. */
export type RefusalKind = "invalid" | "not-found" | "conflict" | "forbidden";

/** A refusal that commands may answer. */
export class RefusalType {
  constructor(
    readonly kind: RefusalKind,
    readonly code: string,
    readonly summary: string,
  ) {}
}

const of = (kind: RefusalKind) => (code: string, summary: string) => new RefusalType(kind, code, summary);

/** Makes types of refusals: a stable word for programs, and a sentence for people. */
export const refusal = {
  invalid: of("invalid"),
  notFound: of("not-found"),
  conflict: of("conflict"),
  forbidden: of("forbidden"),
};

/** The refusal where a command is for an aggregate that does not exist. */
export const NOT_FOUND = refusal.notFound("not-found", "There is nothing of this key.");

/** The refusal where a command would make an aggregate that exists. */
export const ALREADY_EXISTS = refusal.conflict("already-exists", "There is one of this key already.");
