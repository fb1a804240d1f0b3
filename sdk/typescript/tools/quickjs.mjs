// Components with QuickJS, the same for the same sources.
//
// componentize-qjs runs the JavaScript once and keeps the memory that the engine has then. In it are the time, the
// engine's seed of Math.random, and the order of a hash map, which follows from a random seed: so each build has
// another digest. The engine gets all of them from three functions. Here it is linked to others of the same type,
// which give constants; rules don't see any of them (src/sandbox.ts).
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Complaint } from "./complaint.mjs";
import { importsOf, modulesIn, withImports } from "./wasm.mjs";

const CONSTANT = new Map([
  ["wasi:clocks/wall-clock@0.2.0 now", ["wasi:clocks/wall-clock@0.2.0", "resolution"]],
  ["wasi:clocks/monotonic-clock@0.2.0 now", ["wasi:clocks/monotonic-clock@0.2.0", "resolution"]],
  ["wasi:random/insecure-seed@0.2.9 insecure-seed", ["wasi:cli/environment@0.2.0", "initial-cwd"]],
]);

const require = createRequire(import.meta.url);

function loaded() {
  try {
    return require("componentize-qjs");
  } catch (error) {
    throw new Complaint(`componentize-qjs is missing, or has no build for this machine: run npm install (${error.message})`);
  }
}

/** The file of the native part of componentize-qjs, in which its engines are. */
function binding() {
  const folder = dirname(require.resolve("componentize-qjs"));
  const scopes = require.resolve.paths("@andreiltd/x").map((path) => join(path, "@andreiltd"));
  const places = [join(dirname(folder), "@andreiltd"), ...scopes].filter(existsSync);
  const packages = places.flatMap((place) =>
    readdirSync(place).filter((name) => name.startsWith("componentize-qjs-binding-")).map((name) => join(place, name)),
  );
  const files = packages.flatMap((path) => readdirSync(path).filter((name) => name.endsWith(".node")).map((name) => join(path, name)));
  return files.find(existsSync);
}

const key = ({ from, field }) => `${from} ${field}`;

/** The engine without component-model async, linked to constants; undefined if this version has another one. */
function engine() {
  const file = binding();
  if (!file) return undefined;
  const engines = modulesIn(readFileSync(file)).map((module) => ({ module, imports: importsOf(module) }));
  const fitting = engines.filter(({ imports }) => {
    const names = imports.map(key);
    const isSynchronous = !imports.some(({ from, field }) => from.startsWith("$root") || /async|waitable|task/.test(field));
    return isSynchronous && [...CONSTANT.keys()].every((name) => names.includes(name));
  });
  // The other one is optimised for size.
  fitting.sort((one, other) => other.module.length - one.module.length);
  const [chosen] = fitting;
  if (!chosen) return undefined;
  const imports = chosen.imports.map((one) => {
    const [from, field] = CONSTANT.get(key(one)) ?? [one.from, one.field];
    return { ...one, from, field };
  });
  return withImports(chosen.module, imports);
}

/** The component of this JavaScript, and whether the next build of it is the same. */
export async function componentize(jsSource, witPath) {
  const { componentize } = loaded();
  const runtimeBytes = engine();
  const how = runtimeBytes ? { runtimeBytes } : { sync: true };
  try {
    const { component } = await componentize({ witPath, jsSource, ...how });
    return { component, isReproducible: runtimeBytes !== undefined };
  } catch (error) {
    throw new Complaint(`the rules can't be loaded: ${error.message}`);
  }
}
