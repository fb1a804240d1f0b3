import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
// @ts-expect-error: the tools are plain JavaScript.
import { componentize } from "../tools/starlingmonkey.mjs";

test("what componentize-js lacks is said with the command that installs it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "saga-sdk-"));
  try {
    const both = /npm install --save-dev @bytecodealliance\/componentize-js@\S+ @bytecodealliance\/preview2-shim@\S+$/;
    await assert.rejects(componentize("", "", folder), both);
    const source = join(folder, "node_modules/@bytecodealliance/componentize-js/src");
    mkdirSync(source, { recursive: true });
    writeFileSync(join(source, "../package.json"), '{"type": "module"}');
    writeFileSync(join(source, "componentize.js"), 'import "@bytecodealliance/preview2-shim";');
    await assert.rejects(componentize("", "", folder), both);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
