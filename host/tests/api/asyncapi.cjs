// Checks AsyncAPI documents: asyncapi.cjs FILE...; prints what the parser says, and fails where that is an error.
"use strict";

const fs = require("node:fs");
const { Parser } = require("@asyncapi/parser");

const ERROR = 0;

(async () => {
  for (const file of process.argv.slice(2)) {
    const { document, diagnostics } = await new Parser().parse(fs.readFileSync(file, "utf8"));
    for (const { severity, message, path } of diagnostics) {
      console.log(`${file}: ${severity === ERROR ? "error" : "advice"}: ${message} (/${path.join("/")})`);
    }
    if (!document || diagnostics.some(({ severity }) => severity === ERROR)) process.exitCode = 1;
  }
})();
