// `saga-sdk test`: the tests of a project on node:test.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { bundleOfTests } from "./bundle.mjs";
import { Complaint } from "./complaint.mjs";
import { checkTypes } from "./types.mjs";

const FOLDERS = ["tests", "test"];
const NAME = /\.test\.[cm]?[jt]s$/;

function testsOf({ folder }) {
  const folders = FOLDERS.map((name) => join(folder, name)).filter(existsSync);
  const files = folders.flatMap((at) => readdirSync(at, { recursive: true }).map((name) => join(at, String(name))));
  return files.filter((file) => NAME.test(file) && !file.includes("node_modules")).sort();
}

/** Runs the tests of a project; gives the exit code. */
export async function test(project, named) {
  const { folder } = project;
  const files = named.length > 0 ? named.map((file) => resolve(folder, file)) : testsOf(project);
  if (files.length === 0) throw new Complaint("there are no tests: tests/*.test.ts");
  checkTypes(project);
  // In the project, so that tests find its packages and files.
  const out = mkdtempSync(join(folder, ".saga-test-"));
  try {
    await bundleOfTests(project, files, out);
    const built = files.map((file) => join(out, relative(folder, file).replace(/\.[cm]?[jt]s$/, ".mjs")));
    const arguments_ = ["--enable-source-maps", "--test", "--test-reporter=spec", ...built];
    const { status, error } = spawnSync(process.execPath, arguments_, { cwd: folder, stdio: "inherit" });
    if (error) throw new Complaint(`node: ${error.message}`);
    return status ?? 1;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
