// One file of JavaScript from the sources of rules, or of tests.
import { isAbsolute, join, relative, resolve } from "node:path";
import { existsSync, realpathSync } from "node:fs";
import { Complaint } from "./complaint.mjs";
import { decodedLines } from "./source-map.mjs";
import { SDK } from "./project.mjs";

const own = (name) => join(SDK, "src", `${name}.ts`);

/** The SDK that runs this, whatever others the project has: there may be one only. */
const ALIAS = { "saga-sdk/testing": own("testing"), "saga-sdk/component": own("component"), "saga-sdk": own("index") };

async function esbuild(settings) {
  const { build } = await import("esbuild").catch((error) => {
    throw new Complaint(`esbuild is missing: run npm install (${error.message})`);
  });
  try {
    return await build({
      bundle: true,
      format: "esm",
      charset: "utf8",
      legalComments: "none",
      logLevel: "silent",
      write: false,
      alias: ALIAS,
      ...settings,
    });
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    const lines = error.errors.map(({ text, location }) =>
      location ? `${location.file}:${location.line}:${location.column + 1}: ${text}` : text,
    );
    throw new Complaint(lines.join("\n"));
  }
}

/**
 * The component's JavaScript. Its text is a function of the sources alone: no path of this machine is in it. At its
 * end stands from which file and line each of its lines was made, for the places in faults.
 */
export async function bundleOfRules({ folder, rules }) {
  const entry = `import { rules as exported } from "saga-sdk/component";
import participant from ${JSON.stringify(`./${rules}`)};
export const rules = exported(participant);
`;
  const { outputFiles } = await esbuild({
    absWorkingDir: folder,
    stdin: { contents: entry, resolveDir: folder, sourcefile: "component.js", loader: "js" },
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["import", "module"],
    target: "es2022",
    sourcemap: "external",
    sourcesContent: false,
    outfile: join(folder, "component.js"),
    tsconfigRaw: { compilerOptions: { target: "ES2022", useDefineForClassFields: true } },
  });
  const map = outputFiles.find(({ path }) => path.endsWith(".map"));
  const code = outputFiles.find(({ path }) => !path.endsWith(".map"));
  // Names of files as comments: they say where the SDK and packages are on this machine.
  const text = code.text.replace(/^\/\/ .*\.(?:[cm]?[jt]sx?|json)$/gm, "//");
  const { sources, lines } = decodedLines(JSON.parse(map.text), code.text);
  const files = sources.map((source) => named(folder, source));
  return `${text}globalThis.__SAGA_LINES = ${JSON.stringify({ files, lines })};\n`;
}

/** A file as it is named in faults: from the project's folder, or from that of its package. */
function named(folder, source) {
  const path = isAbsolute(source) ? source : resolve(folder, source);
  const real = existsSync(path) ? realpathSync(path) : path;
  const fromSdk = relative(realpathSync(SDK), real);
  if (!fromSdk.startsWith("..") && fromSdk.startsWith("src")) return `saga-sdk/${fromSdk}`;
  const inPackage = real.lastIndexOf("node_modules/");
  if (inPackage >= 0) return real.slice(inPackage);
  return relative(realpathSync(folder), real);
}

/** JavaScript of these test files, for node, with source maps in it. */
export async function bundleOfTests({ folder }, files, outdir) {
  await esbuild({
    absWorkingDir: folder,
    entryPoints: files,
    outdir,
    outbase: folder,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    packages: "bundle",
    target: "node20",
    sourcemap: "inline",
    sourcesContent: false,
    write: true,
  });
}
