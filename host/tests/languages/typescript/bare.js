// Rules without an SDK, as componentize-qjs alone builds them.
// import store from "wasi:keyvalue/store@0.2.0";

const text = '{"type":"string"}';

export const rules = {
  describe: () => ({
    name: "bare",
    version: "1.0.0",
    summary: "Answers.",
    state: { version: 1, oldestReadable: 1, schema: text },
    endpoint: { basePath: "", port: 0 },
    commands: [
      {
        name: "answer",
        summary: "Answers.",
        method: "post",
        path: "/things/{key}",
        kind: { tag: "change" },
        key: { tag: "path-parameter", val: "key" },
        request: null,
        reply: text,
        refusals: [],
        requires: [],
      },
    ],
    subscriptions: [],
    publications: [],
    timers: [],
    listings: [],
    settings: null,
    metadata: [],
    claims: [],
  }),
  handle(state, message) {
    // get(store, message.key);
    return { state: { tag: "unchanged" }, events: [], timers: [], reply: { tag: "done", val: '"done"' } };
  },
  migrate: (version, state) => state,
};

function get(store, key) {
  return store.get(key);
}
