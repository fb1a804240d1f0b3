// What rules get in place of clocks, random sources and a JSON.parse that loses digits: values of the turn, or an error.
import { Decimal, canonical } from "./decimal.js";
import { type Json, parse } from "./json.js";
import { TurnRandom } from "./random.js";
import { JSON_PARSE } from "./raw.js";
import type { Message } from "./wit.js";

interface Present {
  message: Message | undefined;
  random: TurnRandom | undefined;
}

let present: Present | undefined;

/** True in a component, where there is nothing beside turns. */
let isComponent = false;

/** Runs a turn on this message, or a migration, which is on none. */
export function inTurn<T>(message: Message | undefined, work: () => T): T {
  const before = present;
  present = { message, random: undefined };
  try {
    return work();
  } finally {
    present = before;
  }
}

/** The message of the turn; undefined outside of all, where the engine's own value is meant. */
function turnOf(what: string): Message | undefined {
  if (!present && !isComponent) return undefined;
  const message = present?.message;
  if (message) return message;
  throw new Error(`${what} is a value of a turn, and this is none: it is a migration, or runs while the rules are loaded`);
}

function random(what: string): TurnRandom | undefined {
  const message = turnOf(what);
  if (!message || !present) return undefined;
  present.random ??= new TurnRandom(message);
  return present.random;
}

const EngineDate = Date;
const engineRandom = Math.random;

function now(): number {
  const message = turnOf("the time");
  return message ? Number(message.time) : EngineDate.now();
}

const TurnDate = new Proxy(EngineDate, {
  apply: () => new EngineDate(now()).toString(),
  construct: (target, values, newTarget) => Reflect.construct(target, values.length === 0 ? [now()] : values, newTarget),
  get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
});

/** `JSON.parse`, which fails where it would lose digits. */
function parseExactly(text: string, reviver?: (this: any, key: string, value: any) => any): any {
  const value = JSON_PARSE(text, reviver);
  if ((present || isComponent) && typeof text === "string" && /[0-9.]{16}|[0-9][eE]/.test(text)) exact(parse(text));
  return value;
}

function exact(value: Json): void {
  if (value instanceof Decimal) {
    const read = Number(value.text);
    if (Number.isFinite(read) && canonical(String(read)) === canonical(value.text)) return;
    throw new RangeError(`JSON.parse would read ${value.text} as ${read}: use parse of saga-sdk, which loses no digit`);
  }
  if (typeof value === "object" && value !== null) Object.values(value).forEach(exact);
}

function randomBytes<T extends ArrayBufferView>(array: T): T {
  const source = random("crypto.getRandomValues");
  if (!source) throw new Error("crypto.getRandomValues needs a turn");
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  bytes.forEach((_, index) => (bytes[index] = source.byte()));
  return array;
}

const engineCrypto = (globalThis as { crypto?: Crypto }).crypto;

const turnCrypto = {
  randomUUID: () => random("crypto.randomUUID")?.uuid() ?? engineCrypto?.randomUUID(),
  getRandomValues: <T extends ArrayBufferView>(array: T): T =>
    present || isComponent || !engineCrypto ? randomBytes(array) : (engineCrypto.getRandomValues(array as never) as T),
  subtle: engineCrypto?.subtle,
};

function install(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, configurable: true, enumerable: false });
}

install(globalThis, "Date", TurnDate);
install(Math, "random", () => random("Math.random")?.number() ?? engineRandom.call(Math));
install(JSON, "parse", parseExactly);
install(globalThis, "crypto", turnCrypto);
install(BigInt.prototype, "toJSON", () => {
  throw new TypeError("JSON.stringify can't write a bigint: use stringify of saga-sdk, which loses no digit");
});

/** From here on there is nothing beside turns: called by a component while it is built. */
export function enterComponent(): void {
  isComponent = true;
  // A clock that stands still in a turn, and timers that nobody would wait for.
  install(globalThis, "performance", { now: () => now() });
  for (const name of ["setTimeout", "setInterval", "setImmediate", "queueMicrotask", "fetch"]) {
    install(globalThis, name, () => {
      throw new Error(`${name} does nothing in rules, which never wait: set a timer in the decision instead`);
    });
  }
}
