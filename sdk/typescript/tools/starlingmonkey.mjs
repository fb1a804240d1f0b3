// Components with StarlingMonkey, of componentize-js, which is to be installed beside this SDK.
import { Complaint } from "./complaint.mjs";

/** The component of this JavaScript. The memory of the engine, which it has in it, differs from build to build. */
export async function componentize(source, witPath) {
  const { componentize } = await import("@bytecodealliance/componentize-js").catch((error) => {
    throw new Complaint(`componentize-js is missing: npm install --save-dev @bytecodealliance/componentize-js@0.23.0 (${error.message})`);
  });
  const { component } = await componentize(source, {
    witPath,
    worldName: "participant",
    sourceName: "component.js",
    disableFeatures: ["http", "fetch-event"],
  });
  return { component: Buffer.from(component), isReproducible: false };
}
