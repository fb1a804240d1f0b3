// `saga-sdk build`: from sources to a component.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { bundleOfRules } from "./bundle.mjs";
import { Complaint } from "./complaint.mjs";
import { SDK } from "./project.mjs";
import * as quickjs from "./quickjs.mjs";
import * as starlingmonkey from "./starlingmonkey.mjs";
import { checkTypes } from "./types.mjs";

const ENGINES = { quickjs, starlingmonkey };

/** Builds the component of a project, and says what it is. */
export async function build(project, { engine = project.engine, out = project.component }) {
  const compiler = ENGINES[engine];
  if (!compiler) throw new Complaint(`${engine}: is no engine; use quickjs or starlingmonkey`, 64);
  const rules = join(project.folder, project.rules);
  if (!existsSync(rules)) {
    throw new Complaint(`${rules}: is missing, which has the rules; "saga": { "rules": FILE } in package.json names another file`);
  }
  checkTypes(project);
  const source = await bundleOfRules(project);
  const { component, isReproducible } = await compiler.componentize(source, join(SDK, "wit", "participant.wit"), project.folder);
  const file = resolve(project.folder, out);
  mkdirSync(dirname(file), { recursive: true });
  // Whoever watches the file never sees a part of it.
  writeFileSync(`${file}.part`, component);
  renameSync(`${file}.part`, file);
  const digest = createHash("sha256").update(component).digest("hex");
  console.log(`${out}: ${component.length} bytes, ${digest}`);
  if (!isReproducible) console.log("note: another build of the same sources has another digest");
  return 0;
}
