// Components with StarlingMonkey, of componentize-js, which the project has beside this SDK.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { Complaint } from "./complaint.mjs";

const PACKAGE = "node_modules/@bytecodealliance/componentize-js";

// componentize-js loads preview2-shim, and does not name it among what it needs.
const INSTALL = "npm install --save-dev @bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.17.9";

/** The package in a project, or in a folder above it. */
async function loaded(folder) {
  for (let at = folder; ; at = dirname(at)) {
    const file = join(at, PACKAGE, "src/componentize.js");
    if (existsSync(file)) {
      return import(pathToFileURL(file).href).catch((error) => {
        if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
        throw new Complaint(`componentize-js lacks a package (${error.message}): ${INSTALL}`);
      });
    }
    if (at === dirname(at)) throw new Complaint(`componentize-js is missing: ${INSTALL}`);
  }
}

/** The component of this JavaScript. The memory of the engine, which it has in it, differs from build to build. */
export async function componentize(source, witPath, folder) {
  const { componentize } = await loaded(folder);
  const { component } = await componentize(source, {
    witPath,
    worldName: "participant",
    sourceName: "component.js",
    disableFeatures: ["http", "fetch-event"],
  });
  return { component: Buffer.from(component), isReproducible: false };
}
