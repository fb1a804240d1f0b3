// The check of types, where the project has a compiler.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { Complaint } from "./complaint.mjs";

/** The compiler of the project, or of a folder above it. */
function compiler(folder) {
  for (let at = folder; ; at = dirname(at)) {
    const found = join(at, "node_modules", ".bin", "tsc");
    if (existsSync(found)) return found;
    if (at === dirname(at)) return undefined;
  }
}

/** Checks the types of a project that has a tsconfig.json and the package typescript. */
export function checkTypes({ folder }) {
  const tsc = compiler(folder);
  if (!tsc || !existsSync(join(folder, "tsconfig.json"))) return;
  const { status, error } = spawnSync(tsc, ["--noEmit", "--project", folder], { cwd: folder, stdio: "inherit" });
  if (error) throw new Complaint(`${tsc}: ${error.message}`);
  if (status !== 0) throw new Complaint("the types are wrong, as tsc says above");
}
