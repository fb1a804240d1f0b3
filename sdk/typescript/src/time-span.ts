// A length of time as operators write it.

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
];

/** A length of time, written `500ms`, `30s`, `5m`, `2h` or `7d`. */
export class TimeSpan {
  /** This many milliseconds. */
  constructor(readonly millis: number) {}

  /** Reads `500ms`, `30s`, `5m`, `2h` or `7d`. */
  static of(text: string): TimeSpan {
    const [, number, name] = /^([0-9]{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
    const unit = UNITS.find(([one]) => one === name);
    if (!unit) {
      throw new TypeError(`${JSON.stringify(text)} is no time span: write it like 500ms, 30s, 5m, 2h or 7d`);
    }
    return new TimeSpan(Number(number) * unit[1]);
  }

  /** In its longest whole unit: `90s` stays `90s`, `120m` is `2h`. */
  toString(): string {
    if (this.millis === 0) return "0s";
    const [name, unit] = UNITS.find(([, one]) => this.millis % one === 0) as [string, number];
    return `${this.millis / unit}${name}`;
  }

  toJSON(): string {
    return this.toString();
  }
}
