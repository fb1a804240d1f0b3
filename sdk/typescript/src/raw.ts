// What newer engines have for lossless JSON.

/** `JSON.rawJSON`, where the engine has it. */
export const JSON_RAW = (JSON as { rawJSON?: (text: string) => unknown }).rawJSON;

/** `JSON.parse` of the engine: `JSON.parse` of rules is another one (sandbox.ts). */
export const JSON_PARSE = JSON.parse as (text: string, reviver?: Reviver) => unknown;

type Reviver = (this: unknown, key: string, value: unknown, context?: { source?: string }) => unknown;

/** True if a reviver is told how a number was written. */
export const TELLS_SOURCE = (() => {
  let told: string | undefined;
  JSON_PARSE("1.0", (_key, value, context) => {
    told = context?.source;
    return value;
  });
  return told === "1.0";
})();
