// JSON in one form, for comparisons.
import { Decimal } from "./decimal.js";
import { type Json, stringify } from "./json.js";

/** A value as text, with members in the order of their names; numbers keep their digits. */
export function canonical(value: Json): string {
  return stringify(ordered(value));
}

function ordered(value: Json): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null || value instanceof Decimal) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, ordered(one)]).sort());
}
