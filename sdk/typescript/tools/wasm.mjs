// As much of the binary format of WebAssembly as is needed to rename the imports of a module.

/** The number at a place, and the place after it. */
function number(bytes, at) {
  let [value, scale] = [0, 1];
  for (;;) {
    const byte = bytes[at++];
    if (byte === undefined) throw new RangeError("ends in a number");
    value += (byte & 127) * scale;
    if (byte < 128) return [value, at];
    scale *= 128;
  }
}

function encoded(value) {
  const bytes = [];
  do {
    bytes.push((value % 128) + (value >= 128 ? 128 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return Buffer.from(bytes);
}

function name(bytes, at) {
  const [length, start] = number(bytes, at);
  return [bytes.toString("utf8", start, start + length), start + length];
}

const written = (text) => Buffer.concat([encoded(Buffer.byteLength(text)), Buffer.from(text)]);

const MAGIC = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
const IMPORTS = 2;
const SECTIONS = 13;

/** The sections of the module at a place; they end where something else begins. */
function sections(bytes, start) {
  const found = [];
  let at = start + MAGIC.length;
  while (at < bytes.length && !bytes.subarray(at, at + 4).equals(MAGIC.subarray(0, 4)) && bytes[at] <= SECTIONS) {
    const id = bytes[at];
    const [length, content] = number(bytes, at + 1);
    if (content + length > bytes.length) break;
    found.push({ id, at, content, end: content + length });
    at = content + length;
  }
  return found;
}

/** The modules in a file that has several among other things. */
export function modulesIn(bytes) {
  const found = [];
  for (let at = bytes.indexOf(MAGIC); at >= 0; at = bytes.indexOf(MAGIC, at + 1)) {
    try {
      const end = sections(bytes, at).at(-1)?.end ?? at;
      if (end > at) found.push(bytes.subarray(at, end));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return found;
}

/** The imports of a module: module, name, and the bytes of the type. */
export function importsOf(module) {
  const section = sections(module, 0).find(({ id }) => id === IMPORTS);
  if (!section) return [];
  let [count, at] = number(module, section.content);
  const found = [];
  const limits = () => {
    const flags = module[at++];
    [, at] = number(module, at);
    if (flags & 1) [, at] = number(module, at);
  };
  for (; count > 0; count -= 1) {
    let from, field;
    [from, at] = name(module, at);
    [field, at] = name(module, at);
    const start = at;
    const kind = module[at++];
    if (kind === 0) [, at] = number(module, at);
    else if (kind === 1) (at += 1), limits();
    else if (kind === 2) limits();
    else if (kind === 3) at += 2;
    else throw new RangeError(`an import of kind ${kind}`);
    found.push({ from, field, type: module.subarray(start, at) });
  }
  return found;
}

/** The module with other imports. */
export function withImports(module, imports) {
  const content = [encoded(imports.length), ...imports.flatMap(({ from, field, type }) => [written(from), written(field), type])];
  const section = Buffer.concat(content);
  const parts = sections(module, 0).map(({ id, at, end }) =>
    id === IMPORTS ? Buffer.concat([Buffer.from([IMPORTS]), encoded(section.length), section]) : module.subarray(at, end),
  );
  return Buffer.concat([MAGIC, ...parts]);
}
