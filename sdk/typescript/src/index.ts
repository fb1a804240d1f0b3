// The rules of a saga participant in TypeScript.
export { Decimal } from "./decimal.js";
export { type CommandResult, type Decision, type EventResult, Answered, Refused, Undecided } from "./decision.js";
export { type Json, parse, stringify } from "./json.js";
export { Money, NoMoney } from "./money.js";
export { ALREADY_EXISTS, NOT_FOUND, event, refusal, timer } from "./names.js";
export { type EventType, type RefusalKind, type RefusalType, type TimerType } from "./names.js";
export { type Participant, participant } from "./participant.js";
export { type Infer, type Keywords, Mismatch, type Schema, t } from "./schema.js";
export { TimeSpan } from "./time-span.js";
export { type Caller, type Turn } from "./turn.js";
