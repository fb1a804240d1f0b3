// Schemas: what a value looks like in JSON, how it is read and written, and its TypeScript type.
import { Decimal, canonical, integer } from "./decimal.js";
import { type Json, parse, stringify } from "./json.js";
import { Money, NoMoney } from "./money.js";
import { TimeSpan } from "./time-span.js";

/** Says that a value is not of the shape that a schema declares, and where. */
export class Mismatch extends Error {
  private path = "";

  /** The same, of a member of a value. */
  within(member: string | number): this {
    this.path = `/${String(member).replace(/~/g, "~0").replace(/\//g, "~1")}${this.path}`;
    return this;
  }

  /** What is wrong, and where. */
  override toString(): string {
    return this.path === "" ? this.message : `${this.message}, in ${this.path}`;
  }
}

/** The JSON Schema of a value. */
export type JsonSchema = { [keyword: string]: unknown };

/** What further keywords of JSON Schema a schema may have. */
export interface Keywords {
  title?: string;
  description?: string;
  examples?: unknown[];
  minimum?: number | bigint;
  maximum?: number | bigint;
  exclusiveMinimum?: number | bigint;
  exclusiveMaximum?: number | bigint;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minItems?: number;
  maxItems?: number;
}

/** The shape of values of type `T`. */
export class Schema<T> {
  /** Only for types. */
  declare readonly type: T;

  constructor(
    /** Its JSON Schema. */
    readonly json: JsonSchema,
    /** Reads a value; throws a `Mismatch`. */
    readonly read: (value: Json) => T,
    /** Writes a value as JSON text; throws a `Mismatch`. */
    readonly write: (value: T) => string,
    /** True for a member that may be missing. */
    readonly isOptional: boolean = false,
  ) {}

  /** Reads JSON text. */
  decode(text: string): T {
    let value: Json;
    try {
      value = parse(text);
    } catch (error) {
      throw new Mismatch(error instanceof Error ? error.message : String(error));
    }
    return this.read(value);
  }
}

/** The type of the values of a schema. */
export type Infer<S> = S extends Schema<infer T> ? T : never;

type Members = { [name: string]: Schema<any> };
type OptionalNames<M> = { [N in keyof M]: undefined extends Infer<M[N]> ? N : never }[keyof M];
type Flat<T> = { [N in keyof T]: T[N] };
/** The object type of these members. */
export type ObjectOf<M extends Members> = Flat<
  { [N in Exclude<keyof M, OptionalNames<M>>]: Infer<M[N]> } & { [N in OptionalNames<M>]?: Infer<M[N]> }
>;

function found(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value instanceof Decimal) return value.text;
  let text: string;
  try {
    text = value instanceof Promise ? "a promise" : stringify(value);
  } catch {
    text = `a value of type ${typeof value}`;
  }
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function fail(expected: string, value: unknown): never {
  throw new Mismatch(`expected ${expected}, found ${found(value)}`);
}

/** Writes keywords as JSON does; bigints with all their digits. */
function schema(json: JsonSchema, more: Keywords = {}): JsonSchema {
  return { ...json, ...more };
}

function withinBounds(value: number | bigint, bounds: JsonSchema): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = bounds as Keywords;
  return (
    !(minimum !== undefined && value < minimum) &&
    !(maximum !== undefined && value > maximum) &&
    !(exclusiveMinimum !== undefined && value <= exclusiveMinimum) &&
    !(exclusiveMaximum !== undefined && value >= exclusiveMaximum)
  );
}

function whole<T extends bigint | number>(
  what: string,
  least: bigint,
  most: bigint,
  json: JsonSchema,
  of: (value: bigint) => T,
): Schema<T> {
  const isOne = (value: bigint) => value >= least && value <= most;
  return new Schema<T>(
    json,
    (value) => {
      const number = value instanceof Decimal ? integer(value.text) : undefined;
      return number !== undefined && isOne(number) ? of(number) : fail(what, value);
    },
    (value) => {
      const isWhole = typeof value === typeof of(0n) && (typeof value === "bigint" || Number.isSafeInteger(value));
      if (!isWhole || !isOne(BigInt(value)) || !withinBounds(value, json)) fail(`${what} in its bounds`, value);
      return String(value);
    },
  );
}

const [I32, U32, I64, U64] = [1n << 31n, 1n << 32n, 1n << 63n, 1n << 64n];

/** Makes schemas: `t.object({ id: t.int64(), name: t.string({ maxLength: 100 }) })`. */
export const t = {
  /** Text. */
  string(more?: Keywords): Schema<string> {
    return new Schema(
      schema({ type: "string" }, more),
      (value) => (typeof value === "string" ? value : fail("text", value)),
      (value) => (typeof value === "string" ? JSON.stringify(value) : fail("text", value)),
    );
  },

  /** True or false. */
  boolean(more?: Keywords): Schema<boolean> {
    const read = (value: unknown) => (typeof value === "boolean" ? value : fail("true or false", value));
    return new Schema(schema({ type: "boolean" }, more), read, (value) => String(read(value)));
  },

  /** A whole number of 64 bits: a bigint, so that no digit is lost. */
  int64(more?: Keywords): Schema<bigint> {
    const json = schema({ type: "integer", format: "int64" }, more);
    return whole("a whole number of 64 bits", -I64, I64 - 1n, json, (value) => value);
  },

  /** A whole number of 64 bits from 0: a bigint. */
  uint64(more?: Keywords): Schema<bigint> {
    const json = schema({ type: "integer", format: "uint64", minimum: 0 }, more);
    return whole("a whole number of 64 bits from 0", 0n, U64 - 1n, json, (value) => value);
  },

  /** A whole number of 32 bits: a number. */
  int32(more?: Keywords): Schema<number> {
    const json = schema({ type: "integer", format: "int32" }, more);
    return whole("a whole number of 32 bits", -I32, I32 - 1n, json, Number);
  },

  /** A whole number of 32 bits from 0: a number. */
  uint32(more?: Keywords): Schema<number> {
    const json = schema({ type: "integer", format: "uint32", minimum: 0 }, more);
    return whole("a whole number of 32 bits from 0", 0n, U32 - 1n, json, Number);
  },

  /** A whole number of at most 2⁵³ - 1: a number. */
  integer(more?: Keywords): Schema<number> {
    const most = BigInt(Number.MAX_SAFE_INTEGER);
    const bounds = { minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER };
    const json = schema({ type: "integer", ...bounds }, more);
    return whole("a whole number of at most 2^53 - 1", -most, most, json, Number);
  },

  /** A number of JavaScript. One with more digits than it holds is a mismatch, and never rounded. */
  number(more?: Keywords): Schema<number> {
    const json = schema({ type: "number" }, more);
    return new Schema(
      json,
      (value) => {
        if (!(value instanceof Decimal)) fail("a number", value);
        const number = Number(value.text);
        const isExact = Number.isFinite(number) && canonical(String(number)) === canonical(value.text);
        return isExact ? number : fail("a number with at most 15 digits", value);
      },
      (value) => {
        const isOne = typeof value === "number" && Number.isFinite(value) && withinBounds(value, json);
        return isOne ? String(value) : fail("a number in its bounds", value);
      },
    );
  },

  /** A number with every digit that it was written with. */
  decimal(more?: Keywords): Schema<Decimal> {
    const read = (value: unknown) => (value instanceof Decimal ? value : fail("a number", value));
    return new Schema(schema({ type: "number" }, more), read, (value) => read(value).text);
  },

  /** A sum of money: whole cents. */
  money(more?: Keywords): Schema<Money> {
    const json = schema({ type: "number", minimum: 0, maximum: 90_000_000_000_000_000n }, more);
    return new Schema(
      json,
      (value) => {
        if (!(value instanceof Decimal)) fail("a sum of money", value);
        const money = Money.read(value.text);
        if (money instanceof NoMoney) throw new Mismatch(money.message);
        return money;
      },
      (value) => (value instanceof Money ? value.toString() : fail("a sum of money", value)),
    );
  },

  /** A length of time: `500ms`, `30s`, `5m`, `2h`, `7d`. */
  timeSpan(more?: Keywords): Schema<TimeSpan> {
    const json = {
      title: "a length of time",
      type: "string",
      pattern: "^[0-9]{1,9}(ms|s|m|h|d)$",
      examples: ["30s", "5m"],
    };
    return new Schema(
      schema(json, more),
      (value) => {
        if (typeof value !== "string") fail("a length of time", value);
        try {
          return TimeSpan.of(value);
        } catch (error) {
          throw new Mismatch((error as Error).message);
        }
      },
      (value) => (value instanceof TimeSpan ? JSON.stringify(value.toString()) : fail("a TimeSpan", value)),
    );
  },

  /** One of these words. */
  words<const W extends readonly string[]>(words: W, more?: Keywords): Schema<W[number]> {
    const read = (value: unknown): W[number] =>
      words.includes(value as string) ? (value as W[number]) : fail(`one of ${words.join(", ")}`, value);
    return new Schema<W[number]>(schema({ type: "string", enum: [...words] }, more), read, (value) =>
      JSON.stringify(read(value)),
    );
  },

  /** A list. */
  list<T>(of: Schema<T>, more?: Keywords): Schema<T[]> {
    const each = <A, B>(values: A[], step: (value: A) => B): B[] =>
      values.map((value, index) => within(index, () => step(value)));
    return new Schema<T[]>(
      schema({ type: "array", items: of.json }, more),
      (value) => (Array.isArray(value) ? each(value, of.read) : fail("a list", value)),
      (value) => (Array.isArray(value) ? `[${each(value, of.write).join(",")}]` : fail("a list", value)),
    );
  },

  /** An object whose members have names of their own; written in the order of their names. */
  map<T>(of: Schema<T>, more?: Keywords): Schema<{ [name: string]: T }> {
    return new Schema<{ [name: string]: T }>(
      schema({ type: "object", additionalProperties: of.json }, more),
      (value) => {
        const members = Object.entries(plain(value));
        return Object.fromEntries(members.map(([name, member]) => [name, within(name, () => of.read(member))]));
      },
      (value) => {
        const members = Object.entries(plain(value) as { [name: string]: T });
        members.sort(([one], [other]) => (one < other ? -1 : 1));
        const texts = members.map(([name, one]) => `${JSON.stringify(name)}:${within(name, () => of.write(one))}`);
        return `{${texts.join(",")}}`;
      },
    );
  },

  /** An object whose members are named by whole numbers from 0, as a `Map`; written in the order of the numbers. */
  mapByNumber<T>(of: Schema<T>, more?: Keywords): Schema<ReadonlyMap<bigint, T>> {
    const named = (name: string): bigint => {
      const isCanonical = /^(0|[1-9]\d*)$/.test(name) && BigInt(name) < U64;
      return isCanonical ? BigInt(name) : fail("a whole number of 64 bits from 0 as the name of a member", name);
    };
    return new Schema<ReadonlyMap<bigint, T>>(
      schema({ type: "object", patternProperties: { "^\\d+$": of.json }, additionalProperties: false }, more),
      (value) => {
        const members = Object.entries(plain(value));
        return new Map(members.map(([name, member]) => [named(name), within(name, () => of.read(member))]));
      },
      (value) => {
        if (!(value instanceof Map)) fail("a Map", value);
        const members = [...value].sort(([one], [other]) => (one < other ? -1 : 1));
        const texts = members.map(([number, one]) => {
          if (typeof number !== "bigint") fail("a bigint as the name of a member", number);
          return `"${named(String(number))}":${within(String(number), () => of.write(one))}`;
        });
        return `{${texts.join(",")}}`;
      },
    );
  },

  /** An object with these members, written in this order. Other members are read past. */
  object<M extends Members>(members: M, more?: Keywords): Schema<ObjectOf<M>> {
    const all = Object.entries(members);
    const properties = Object.fromEntries(all.map(([name, member]) => [name, member.json]));
    const required = all.filter(([, member]) => !member.isOptional).map(([name]) => name);
    const json: JsonSchema = { type: "object", properties };
    if (required.length > 0) json["required"] = required;
    return new Schema<ObjectOf<M>>(
      schema(json, more),
      (value) => {
        const given = plain(value);
        const result: { [name: string]: unknown } = {};
        for (const [name, member] of all) {
          const one = Object.hasOwn(given, name) ? given[name] : undefined;
          if (one === undefined) {
            if (!member.isOptional) throw new Mismatch(`the member ${JSON.stringify(name)} is missing`);
          } else {
            const read = within(name, () => member.read(one));
            if (read !== undefined) result[name] = read;
          }
        }
        return result as ObjectOf<M>;
      },
      (value) => {
        const given = plain(value) as { [name: string]: unknown };
        const texts: string[] = [];
        for (const [name, member] of all) {
          const one = given[name];
          if (one === undefined && member.isOptional) continue;
          texts.push(`${JSON.stringify(name)}:${within(name, () => member.write(one))}`);
        }
        return `{${texts.join(",")}}`;
      },
    );
  },

  /** A member that may be missing, or null. */
  optional<T>(of: Schema<T>): Schema<T | undefined> {
    const read = (value: Json) => (value === null ? undefined : of.read(value));
    return new Schema<T | undefined>(orNull(of.json), read, (value) => of.write(value as T), true);
  },

  /** A value, or null. */
  nullable<T>(of: Schema<T>): Schema<T | null> {
    return new Schema<T | null>(
      orNull(of.json),
      (value) => (value === null ? null : of.read(value)),
      (value) => (value === null ? "null" : of.write(value)),
    );
  },

  /** Nothing: the body of a timer or a reply that says no more than its name. */
  nothing(): Schema<null> {
    const read = (value: unknown) => (value === null || value === undefined ? null : fail("null", value));
    return new Schema({ type: "null" }, read, (value) => String(read(value)));
  },

  /** Any JSON. */
  json(more?: Keywords): Schema<Json> {
    return new Schema<Json>(schema({}, more), (value) => value, stringify);
  },
};

function orNull(json: JsonSchema): JsonSchema {
  if (typeof json["type"] !== "string") return { anyOf: [json, { type: "null" }] };
  const words = json["enum"] as unknown[] | undefined;
  return { ...json, type: [json["type"], "null"], ...(words && { enum: [...words, null] }) };
}

function plain(value: unknown): { [name: string]: Json } {
  const isPlain = typeof value === "object" && value !== null && !Array.isArray(value);
  const isOfClass = value instanceof Decimal || value instanceof Map || value instanceof Set;
  return isPlain && !isOfClass ? (value as { [name: string]: Json }) : fail("an object", value);
}

function within<T>(member: string | number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof Mismatch ? error.within(member) : error;
  }
}
