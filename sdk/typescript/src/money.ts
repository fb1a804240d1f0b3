// A sum of money: whole cents, exactly.
import { Decimal } from "./decimal.js";

const CENTS = 100n;

/** What is wrong with a number that is no sum of money. */
export class NoMoney extends Error {}

/** A sum of money: whole cents from 0 to 9·10¹⁶ units. Nothing is ever rounded. */
export class Money extends Decimal {
  /** Nothing. */
  static readonly ZERO = new Money(0n);
  /** The largest sum. */
  static readonly MAX = new Money(90_000_000_000_000_000n * CENTS);

  private constructor(readonly cents: bigint) {
    super(shortest(cents));
  }

  /** A sum of money, exactly: `300`, `300.00` and `3e2` are the same. Throws `NoMoney`. */
  static of(digits: string | number | bigint | Decimal): Money {
    const money = Money.read(digits);
    if (money instanceof NoMoney) throw money;
    return money;
  }

  /** The same, with what is wrong as a value. */
  static read(digits: string | number | bigint | Decimal): Money | NoMoney {
    const match = /^(-?)([0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(String(digits));
    const [, sign = "", whole = "", fraction = "", exponent = "0"] = match ?? [];
    const all = whole + fraction;
    if (!match || all === "") return new NoMoney("the amount is no number: write it like 10.25");
    const significant = all.replace(/0+$/, "");
    const dropped = all.length - significant.length;
    const number = significant.replace(/^0+/, "");
    if (number === "") return Money.ZERO;
    if (sign) return new NoMoney("the amount is negative: send zero or more");
    const shift = Number(exponent) + 2 - fraction.length + dropped;
    const tooLarge = "the amount is too large: send at most 90000000000000000";
    const most = String(Money.MAX.cents).length;
    if (number.length + shift > most) return new NoMoney(tooLarge);
    if (shift < 0) return new NoMoney("the amount is finer than a cent: send at most two decimals");
    const cents = BigInt(number + "0".repeat(shift));
    if (cents > Money.MAX.cents) return new NoMoney(tooLarge);
    return new Money(cents);
  }

  /** Both together. Throws beyond the largest sum, which ends the turn as a fault. */
  plus(other: Money): Money {
    const cents = this.cents + other.cents;
    if (cents > Money.MAX.cents) throw new RangeError(`${this} and ${other} are more than the largest sum of money`);
    return new Money(cents);
  }

  /** What is left when `other` is taken away; undefined where there is not enough. */
  minus(other: Money): Money | undefined {
    return other.cents <= this.cents ? new Money(this.cents - other.cents) : undefined;
  }

  /** A sum can be compared with `<` and `>`: by its cents. */
  valueOf(): bigint {
    return this.cents;
  }
}

/** The form that has the fewest digits: `1000`, `10.5`, `10.25`. */
function shortest(cents: bigint): string {
  const [whole, rest] = [cents / CENTS, cents % CENTS];
  if (rest === 0n) return String(whole);
  return `${whole}.${String(rest).padStart(2, "0").replace(/0$/, "")}`;
}
