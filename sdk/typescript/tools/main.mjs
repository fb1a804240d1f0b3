// The command line: `saga-sdk build` and `saga-sdk test`.
import { build } from "./build.mjs";
import { Complaint } from "./complaint.mjs";
import { project } from "./project.mjs";
import { test } from "./test.mjs";

const USAGE = `saga-sdk build [--engine quickjs|starlingmonkey] [--out FILE]   build the component of this folder
saga-sdk test [FILE...]                                        run its tests, tests/*.test.ts, on node:test

The folder has package.json and src/rules.ts, whose default export is the participant. In package.json,
"saga": { "rules": FILE, "component": FILE, "engine": NAME } names other files, or another engine.`;

/** Runs a command; gives the exit code. */
export async function main([command, ...words]) {
  try {
    switch (command) {
      case "build":
        return await build(project(process.cwd()), options(words));
      case "test":
        return await test(project(process.cwd()), words);
      case "--help":
      case "help":
        console.log(USAGE);
        return 0;
      default:
        throw new Complaint(`${command ? `there is no command ${command}` : "which command?"}\n\n${USAGE}`, 64);
    }
  } catch (error) {
    if (!(error instanceof Complaint)) throw error;
    console.error(`saga-sdk: ${error.message}`);
    return error.code;
  }
}

function options(words) {
  const found = {};
  const names = { "--engine": "engine", "--out": "out" };
  for (let at = 0; at < words.length; at += 2) {
    const name = names[words[at]];
    if (!name || words[at + 1] === undefined) throw new Complaint(`${words[at]}: is no option with a value\n\n${USAGE}`, 64);
    found[name] = words[at + 1];
  }
  return found;
}
