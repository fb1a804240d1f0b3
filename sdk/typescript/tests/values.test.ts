// Money and lengths of time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Money, NoMoney, TimeSpan } from "saga-sdk";

test("money is read exactly, and written in its shortest form", () => {
  const same = {
    "0": "0",
    "-0": "0",
    "0e999999999999999999999": "0",
    "300": "300",
    "300.00": "300",
    "300.0000000000000000000000000000000000000": "300",
    "3e2": "300",
    "3E+2": "300",
    "30000e-2": "300",
    "10.25": "10.25",
    "10.10": "10.1",
    "10.05": "10.05",
    "0.01": "0.01",
    "89999999999999999.99": "89999999999999999.99",
    "9e16": "90000000000000000",
  };
  for (const [text, shortest] of Object.entries(same)) assert.equal(String(Money.of(text)), shortest, text);
});

test("what is no money says why", () => {
  const wrong = {
    "-1": "negative",
    "-0.001": "negative",
    "0.001": "finer than a cent",
    "10.255": "finer than a cent",
    "1e-99999999999999999999": "finer than a cent",
    "90000000000000000.01": "too large",
    "123456789012345678901234567890.001": "too large",
    "1e17": "too large",
    "1e99999999999999999999": "too large",
    "": "no number",
    "-": "no number",
    "1e": "no number",
    "0x10": "no number",
  };
  for (const [text, why] of Object.entries(wrong)) {
    const read = Money.read(text);
    assert.ok(read instanceof NoMoney && read.message.includes(why), `${text}: ${read}`);
  }
});

test("sums stay within the bound, and are compared by their cents", () => {
  const [some, all] = [Money.of("0.3"), Money.MAX];
  assert.equal(String(some.plus(Money.of("9.95"))), "10.25");
  assert.throws(() => all.plus(Money.of("0.01")), RangeError);
  assert.equal(some.minus(Money.of(1)), undefined);
  assert.equal(String(all.minus(Money.of("0.01"))), "89999999999999999.99");
  assert.ok(some < all && all > some && some.equals(Money.of("3e-1")));
});

test("a time span is written in its longest whole unit", () => {
  const same = { "500ms": "500ms", "60s": "1m", "120m": "2h", "7d": "7d", "90s": "90s", "0h": "0s" };
  for (const [text, longest] of Object.entries(same)) assert.equal(String(TimeSpan.of(text)), longest);
  for (const text of ["", "30", "s", "-1s", "1.5h", "1 s", "1w", "9999999999s"]) {
    assert.throws(() => TimeSpan.of(text), /is no time span/, text);
  }
});
