// The shapes that cross the boundary of the component, as `wit/participant.wit` has them.

export type Option<T> = T | null | undefined;

export interface Message {
  id: string;
  source: string;
  origin: "command" | "event" | "timer";
  name: string;
  key: string;
  /** A number or a bigint, depending on the engine. */
  time: number | bigint;
  correlation: string;
  causation?: Option<string>;
  caller?: Option<{ subject: string; claims: string }>;
  metadata: { name: string; value: string }[];
  version: number;
  parameters: { name: string; value: string }[];
  body: string;
}

export type StateChange = { tag: "unchanged" } | { tag: "put"; val: string } | { tag: "remove" };

export type TimerChange =
  | { tag: "set"; val: { name: string; due: number | bigint; body: string } }
  | { tag: "cancel"; val: string };

export type Reply =
  | { tag: "done"; val: string }
  | { tag: "pending"; val: string }
  | { tag: "refused"; val: { kind: string; code: string; detail: string; pointer: Option<string> } };

export interface Outcome {
  state: StateChange;
  events: { eventType: string; key: string; body: string }[];
  timers: TimerChange[];
  reply: Option<Reply>;
}

export interface Disposition {
  tag: "malformed" | "retry-later";
  val: string;
}
