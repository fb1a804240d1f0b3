// JSON in and out without losing a digit: numbers are read as `Decimal`.
import { Decimal } from "./decimal.js";
import { JSON_PARSE, TELLS_SOURCE } from "./raw.js";
import { TimeSpan } from "./time-span.js";

/** A JSON value, whose numbers have all their digits. */
export type Json = null | boolean | string | Decimal | Json[] | { [name: string]: Json };

/** Reads JSON; every number is a `Decimal`. */
export function parse(text: string): Json {
  if (!TELLS_SOURCE) return new Reader(text).all();
  return JSON_PARSE(text, (_key, value, context) =>
    typeof value === "number" ? new Decimal(context?.source as string) : value,
  ) as Json;
}

/** Writes JSON with every digit of a `bigint` or `Decimal` (`Money` is one). Members without a value are left out. */
export function stringify(value: unknown): string {
  switch (typeof value) {
    case "bigint":
      return String(value);
    case "number":
      if (Number.isFinite(value)) return String(value);
      throw new TypeError(`${value} is no JSON number`);
    case "string":
    case "boolean":
      return JSON.stringify(value);
    case "object":
      break;
    default:
      throw new TypeError(`a ${typeof value} can't be written as JSON`);
  }
  if (value === null) return "null";
  if (value instanceof Decimal) return value.toString();
  if (value instanceof TimeSpan) return JSON.stringify(value.toString());
  if (Array.isArray(value)) return `[${value.map(stringify).join(",")}]`;
  if (value instanceof Map || value instanceof Set) {
    throw new TypeError("a Map or a Set can't be written as JSON: give an object or a list");
  }
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${stringify(member)}`).join(",")}}`;
}

const DEPTH = 127;

/** A reader for engines whose `JSON.parse` doesn't tell how a number was written. */
class Reader {
  private at = 0;
  constructor(private readonly text: string) {}

  all(): Json {
    const value = this.value(0);
    this.token(/\s*/y);
    if (this.at < this.text.length) this.fail();
    return value;
  }

  private fail(): never {
    throw new SyntaxError(`unexpected ${JSON.stringify(this.text.slice(this.at, this.at + 10))} at ${this.at}`);
  }

  private token(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private string(): string {
    const written = this.token(/\s*"(?:[^"\\\u0000-\u001f]|\\.)*"/y) ?? this.fail();
    return JSON_PARSE(written) as string;
  }

  private value(depth: number): Json {
    if (depth > DEPTH) throw new SyntaxError("is nested too deeply");
    this.token(/[ \t\r\n]*/y);
    switch (this.text[this.at]) {
      case '"':
        return this.string();
      case "[":
        return this.list(depth);
      case "{":
        return this.object(depth);
    }
    const word = this.token(/true|false|null/y);
    if (word) return word === "null" ? null : word === "true";
    const number = this.token(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    return new Decimal(number ?? this.fail());
  }

  private list(depth: number): Json[] {
    this.at += 1;
    const values: Json[] = [];
    if (this.token(/[ \t\r\n]*\]/y)) return values;
    do values.push(this.value(depth + 1));
    while (this.token(/[ \t\r\n]*,/y));
    return this.token(/[ \t\r\n]*\]/y) ? values : this.fail();
  }

  private object(depth: number): { [name: string]: Json } {
    this.at += 1;
    const members: { [name: string]: Json } = {};
    if (this.token(/[ \t\r\n]*\}/y)) return members;
    do {
      const name = this.string();
      if (!this.token(/[ \t\r\n]*:/y)) this.fail();
      const value = this.value(depth + 1);
      Object.defineProperty(members, name, { value, enumerable: true, writable: true, configurable: true });
    } while (this.token(/[ \t\r\n]*,/y));
    return this.token(/[ \t\r\n]*\}/y) ? members : this.fail();
  }
}
