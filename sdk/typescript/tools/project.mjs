// The project in a folder.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Complaint } from "./complaint.mjs";

/** The folder of this SDK. */
export const SDK = dirname(dirname(fileURLToPath(import.meta.url)));

/** The project of this folder: where its rules are, and where its component goes. */
export function project(folder) {
  const file = join(folder, "package.json");
  if (!existsSync(file)) {
    throw new Complaint(`${folder}: has no package.json; go to the folder of a participant, or make one: saga new NAME --lang typescript`);
  }
  let manifest;
  try {
    manifest = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Complaint(`${file}: ${error.message}`);
  }
  const { rules = "src/rules.ts", component, engine = "quickjs" } = manifest.saga ?? {};
  const name = String(manifest.name ?? "rules").replace(/^@/, "").replaceAll("/", "-");
  const found = { folder, rules, engine, component: component ?? `dist/${name}.wasm` };
  return found;
}
