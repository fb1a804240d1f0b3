// Schemas: what they read, what they write, and what they say of what does not fit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Decimal, Mismatch, t } from "saga-sdk";

const Person = t.object({ id: t.int64(), name: t.string({ maxLength: 9 }), tags: t.optional(t.list(t.words(["a", "b"]))) });

function mismatch(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof Mismatch, String(error));
    return String(error);
  }
  assert.fail("it fits");
}

test("a value is read and written, in the order of its members", () => {
  const text = '{"tags":["b"],"other":{"x":1},"name":"Ann","id":9007199254740993}';
  const person = Person.decode(text);
  assert.deepEqual(person, { id: 9007199254740993n, name: "Ann", tags: ["b"] });
  assert.equal(Person.write(person), '{"id":9007199254740993,"name":"Ann","tags":["b"]}');
  assert.deepEqual(Person.decode('{"id":1.0,"name":"","tags":null}'), { id: 1n, name: "" });
});

test("what does not fit is told with its place", () => {
  assert.equal(
    mismatch(() => Person.decode('{"id":1,"name":"x","tags":["a","c"]}')),
    'expected one of a, b, found "c", in /tags/1',
  );
  assert.match(mismatch(() => Person.decode('{"id":1.5,"name":"x"}')), /whole number of 64 bits, found 1.5, in \/id$/);
  assert.match(mismatch(() => Person.decode('{"id":9223372036854775808,"name":"x"}')), /in \/id$/);
  assert.equal(mismatch(() => Person.decode('{"id":1}')), 'the member "name" is missing');
  assert.match(mismatch(() => Person.decode("[]")), /^expected an object, found \[\]/);
  assert.match(mismatch(() => Person.write({ id: 7 as never, name: "x" })), /found 7, in \/id$/);
  assert.match(mismatch(() => t.map(t.string()).decode('{"a/b":1}')), /in \/a~1b$/);
});

test("a number is never rounded", () => {
  const number = t.number();
  for (const text of ["10.10", "0.1", "1e3", "-0"]) assert.equal(number.decode(text), Number(text));
  for (const text of ["9007199254740993", "0.12345678901234567890", "1e400"]) mismatch(() => number.decode(text));
  assert.equal(t.decimal().write(t.decimal().decode("10.10")), "10.10");
  assert.equal(t.integer().decode("9007199254740991"), 9007199254740991);
  mismatch(() => t.integer().decode("9007199254740992"));
  mismatch(() => t.number().write(Number.NaN));
});

test("bounds hold for what is written", () => {
  mismatch(() => t.int64({ minimum: 1 }).write(0n));
  mismatch(() => t.uint64().write(-1n));
  mismatch(() => t.integer({ maximum: 5 }).write(6));
  mismatch(() => t.integer().write(1.5));
  assert.equal(t.int64({ minimum: 0, maximum: 5n }).write(5n), "5");
});

test("a number of 32 bits has its bounds in every body", () => {
  assert.equal(t.uint32().decode("4294967295"), 4294967295);
  assert.equal(t.int32().decode("-2147483648.0"), -2147483648);
  for (const [schema, text] of [[t.uint32(), "4294967296"], [t.uint32(), "-1"], [t.int32(), "2147483648"], [t.int32(), "0.5"]] as const) {
    assert.match(mismatch(() => schema.decode(text)), /expected a whole number of 32 bits/);
  }
  assert.match(mismatch(() => t.uint32().write(4294967296)), /expected a whole number of 32 bits from 0/);
});

test("members of a map by number are written in the order of the numbers", () => {
  const map = t.mapByNumber(t.integer());
  assert.equal(map.write(new Map([[10n, 1], [9n, 2], [18446744073709551615n, 3]])), '{"9":2,"10":1,"18446744073709551615":3}');
  assert.deepEqual(map.decode('{"10":1,"9":2}'), new Map([[10n, 1], [9n, 2]]));
  for (const name of ["007", "-1", "1.0", "18446744073709551616", "a"]) {
    assert.match(mismatch(() => map.decode(`{"${name}":1}`)), /a whole number of 64 bits from 0 as the name/);
  }
  assert.match(mismatch(() => map.decode('{"7":"x"}')), /in \/7$/);
  assert.match(mismatch(() => map.write({ 7: 1 } as never)), /expected a Map/);
  assert.match(mismatch(() => map.write(new Map([[7, 1]]) as never)), /a bigint as the name/);
});

test("members of a map are written in the order of their names", () => {
  const map = t.map(t.decimal());
  assert.equal(map.write({ b: new Decimal("1.0"), a: new Decimal(2) }), '{"a":2,"b":1.0}');
});

test("a schema is JSON Schema", () => {
  assert.deepEqual(Person.json, {
    type: "object",
    properties: {
      id: { type: "integer", format: "int64" },
      name: { type: "string", maxLength: 9 },
      tags: { type: ["array", "null"], items: { type: "string", enum: ["a", "b"] } },
    },
    required: ["id", "name"],
  });
});
