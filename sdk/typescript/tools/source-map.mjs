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

/** Of each line of the bundle, the number of the source and the line there that its first word was made from, or null. */
export function decodedLines({ sources, mappings }, code) {
  let [source, line] = [0, 0];
  const texts = code.split("\n");
  const lines = mappings.split(";").map((text, number) => {
    const indent = /^\s*/.exec(texts[number] ?? "")[0].length;
    let [column, found] = [0, null];
    for (const part of text.split(",")) {
      const [toColumn, toSource, toLine] = segment(part);
      column += toColumn ?? 0;
      if (toSource === undefined) continue;
      source += toSource;
      line += toLine;
      // What stands before the first word may go on from the line above.
      if (!found || column <= indent) found = [source, line + 1];
    }
    return found;
  });
  return { sources, lines };
}
