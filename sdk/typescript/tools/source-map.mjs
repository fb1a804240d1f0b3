// Reads source maps, as far as the lines of a bundle go.

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The numbers of one segment. */
function segment(text) {
  const numbers = [];
  let [value, shift] = [0, 0];
  for (const char of text) {
    const digit = DIGITS.indexOf(char);
    value += (digit & 31) * 2 ** shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value % 2 === 1 ? -Math.floor(value / 2) : value / 2);
    [value, shift] = [0, 0];
  }
  return numbers;
}

/** Of each line of the bundle, the number of the source and the line there where it begins; null for other lines. */
export function decodedLines({ sources, mappings }) {
  let [source, line] = [0, 0];
  const lines = mappings.split(";").map((text) => {
    let first = null;
    for (const part of text.split(",")) {
      const [, toSource, toLine] = segment(part);
      if (toSource === undefined) continue;
      source += toSource;
      line += toLine;
      first ??= [source, line + 1];
    }
    return first;
  });
  return { sources, lines };
}
