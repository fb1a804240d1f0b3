// Random numbers that follow from the message: the stream that the host gives to rules of every language.
import type { Message } from "./wit.js";

const PRIMES = (() => {
  const found: number[] = [];
  for (let number = 2; found.length < 64; number += 1) {
    if (found.every((prime) => number % prime !== 0)) found.push(number);
  }
  return found;
})();

const bits = (root: number) => ((root - Math.floor(root)) * 2 ** 32) | 0;
const K = PRIMES.map((prime) => bits(Math.cbrt(prime)));
const START = PRIMES.slice(0, 8).map((prime) => bits(Math.sqrt(prime)));

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const length = bytes.length;
  const padded = new Uint8Array(Math.ceil((length + 9) / 64) * 64);
  padded.set(bytes);
  padded[length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(padded.length - 4, (length << 3) >>> 0);
  const hash = Int32Array.from(START);
  const w = new Int32Array(64);
  const turned = (x: number, by: number) => (x >>> by) | (x << (32 - by));
  const word = (index: number) => w[index] as number;
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 64; i += 1) {
      if (i < 16) {
        w[i] = view.getInt32(at + i * 4);
        continue;
      }
      const [one, two] = [word(i - 15), word(i - 2)];
      const low = turned(one, 7) ^ turned(one, 18) ^ (one >>> 3);
      const high = turned(two, 17) ^ turned(two, 19) ^ (two >>> 10);
      w[i] = word(i - 16) + low + word(i - 7) + high;
    }
    let [a, b, c, d, e, f, g, h] = hash as unknown as [number, number, number, number, number, number, number, number];
    for (let i = 0; i < 64; i += 1) {
      const mixed = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
      const one = (h + mixed + ((e & f) ^ (~e & g)) + (K[i] as number) + word(i)) | 0;
      const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, index) => (hash[index] = (hash[index] as number) + value));
  }
  const result = new DataView(new ArrayBuffer(32));
  hash.forEach((value, index) => result.setInt32(index * 4, value));
  return new Uint8Array(result.buffer);
}

/** The bytes of a text in UTF-8. */
function utf8(text: string): number[] {
  return [...unescape(encodeURIComponent(text))].map((char) => char.charCodeAt(0));
}

/** A stream of numbers: block n is the SHA-256 of n and of the source, id and key of the message. */
export class TurnRandom {
  private readonly identity: number[];
  private block: Uint8Array = new Uint8Array(0);
  private at = 0;
  private next = 0;

  constructor({ source, id, key }: Message) {
    this.identity = [source, id, key].flatMap((text) => {
      const bytes = utf8(text);
      return [...number64(bytes.length), ...bytes];
    });
  }

  /** The next byte. */
  byte(): number {
    if (this.at === this.block.length) {
      this.block = sha256(Uint8Array.from([...number64(this.next), ...this.identity]));
      this.next += 1;
      this.at = 0;
    }
    return this.block[this.at++] as number;
  }

  /** A number from 0 up to, and without, 1. */
  number(): number {
    let value = 0;
    for (let i = 0; i < 6; i += 1) value = value * 256 + this.byte();
    return (value * 32 + (this.byte() & 31)) / 2 ** 53;
  }

  /** A UUID of version 4. */
  uuid(): string {
    const bytes = Array.from({ length: 16 }, () => this.byte());
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }
}

function number64(value: number): number[] {
  return Array.from({ length: 8 }, (_, index) => Math.floor(value / 256 ** index) % 256);
}
