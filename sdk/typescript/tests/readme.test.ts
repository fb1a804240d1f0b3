// What the README shows is what is compiled and tested.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import "../examples/library/tests/rules.test.js";

test("the README shows the library", () => {
  const readme = readFileSync("README.md", "utf8").replaceAll("../src/rules.js", "../rules.js");
  for (const file of ["rules.ts", "tests/rules.test.ts"]) {
    const [, ...lines] = readFileSync(`examples/library/${file}`, "utf8").split("\n");
    assert.ok(readme.includes(`\`\`\`ts\n${lines.join("\n")}\`\`\``), file);
  }
});
