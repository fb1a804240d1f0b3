// A JSON number with every digit that it was written with, and what whole number it is.
import { JSON_RAW } from "./raw.js";

/** A JSON number as it was written: `10.10` stays `10.10`, and no digit is lost. */
export class Decimal {
  /** The digits, as JSON has them. */
  readonly text: string;

  /** A number from its digits in JSON (`"10.10"`), from a whole number, or from a bigint. */
  constructor(digits: string | number | bigint) {
    const text = String(digits);
    if (!NUMBER.test(text)) throw new TypeError(`${JSON.stringify(text)} is no JSON number`);
    this.text = text;
  }

  /** The digits. */
  toString(): string {
    return this.text;
  }

  /** For the lossless `stringify` of this package; `JSON.stringify` would lose digits, and refuses. */
  toJSON(): unknown {
    if (JSON_RAW) return JSON_RAW(this.text);
    throw new TypeError("JSON.stringify can't write a Decimal without losing digits: use stringify of saga-sdk");
  }

  /** True if both are the same number, however they are written. */
  equals(other: Decimal): boolean {
    return canonical(this.text) === canonical(other.text);
  }
}

const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;

/** The significant digits of a JSON number, and its power of ten. */
function parts(text: string): { negative: boolean; digits: string; power: number } {
  const negative = text.startsWith("-");
  const [mantissa = "", exponent = "0"] = text.slice(negative ? 1 : 0).split(/[eE]/);
  const [whole = "", fraction = ""] = mantissa.split(".");
  const all = whole + fraction;
  const digits = all.replace(/0+$/, "");
  const power = Number(exponent) - fraction.length + (all.length - digits.length);
  return { negative, digits: digits.replace(/^0+/, ""), power };
}

/** One text for all spellings of a number. */
export function canonical(text: string): string {
  const { negative, digits, power } = parts(text);
  return digits === "" ? "0" : `${negative ? "-" : ""}${digits}e${power}`;
}

/** The whole number that this JSON number is (`1`, `1.0`, `1e2`), if it is one of at most 20 digits. */
export function integer(text: string): bigint | undefined {
  if (/^(0|-?[1-9][0-9]*)$/.test(text)) return text.length <= 40 ? BigInt(text) : undefined;
  const { negative, digits, power } = parts(text);
  if (digits === "") return 0n;
  if (power < 0 || digits.length + power > 20) return undefined;
  return BigInt((negative ? "-" : "") + digits + "0".repeat(power));
}
