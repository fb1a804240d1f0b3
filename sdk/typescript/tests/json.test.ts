// JSON in and out, without losing a digit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Decimal, type Json, parse, stringify } from "saga-sdk";
import { canonical, integer } from "../src/decimal.js";

test("a number keeps its digits", () => {
  const numbers = ["9007199254740993", "9223372036854775807", "10.10", "-0", "1e-7", "123456789012345678901234567890.0100"];
  for (const text of [...numbers, `{"a":[${numbers.join(",")}],"b":{"c":null,"d":true,"e":"\\u00e9\\""}}`]) {
    assert.equal(stringify(parse(text)), text.replace("\\u00e9", "é"));
  }
});

test("text that is no JSON is refused", () => {
  const deep = "[".repeat(200) + "]".repeat(200);
  for (const text of ["", "{", "[1,]", '{"a":1,}', "01", "1.", "+1", "NaN", "1 2", "'a'", '{"a" 1}', '"\n"', "tru", deep]) {
    assert.throws(() => parse(text), SyntaxError, text);
  }
});

test("a member named __proto__ is a member", () => {
  const value = parse('{"__proto__":{"x":1}}') as { [name: string]: Json };
  assert.ok(Object.hasOwn(value, "__proto__"));
  assert.equal((value as { x?: unknown }).x, undefined);
});

test("what JSON can't express is not written", () => {
  for (const value of [Number.NaN, Infinity, () => 1, Symbol("a"), new Map(), new Set(), undefined]) {
    assert.throws(() => stringify(value), TypeError);
  }
});

test("a whole number is one however it is written", () => {
  const same: [string, bigint][] = [
    ["1.0", 1n],
    ["-61479.000", -61_479n],
    ["1.5e1", 15n],
    ["120e-1", 12n],
    ["-0.0", 0n],
    ["-0", 0n],
    ["0e99", 0n],
    ["0e-99999999999999999999", 0n],
    ["9223372036854775807.0", 9_223_372_036_854_775_807n],
    ["-9.223372036854775808E+18", -9_223_372_036_854_775_808n],
  ];
  for (const [text, number] of same) assert.equal(integer(text), number, text);
  for (const text of ["1.5", "15e-1", "1e999999999", "1e-999999999", "1e99999999999999"]) assert.equal(integer(text), undefined, text);
});

test("numbers are compared by what they are", () => {
  assert.ok(new Decimal("10.10").equals(new Decimal("1.01e1")));
  assert.ok(!new Decimal("10.10").equals(new Decimal("-10.1")));
  assert.equal(canonical("0.000"), canonical("-0e7"));
  for (const text of ["", "1.", ".5", "0x1", "NaN", "1 "]) assert.throws(() => new Decimal(text), TypeError, text);
});
