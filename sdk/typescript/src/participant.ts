// The contract of a participant: its description, with the functions that decide.
import { Answered, Decision, type CommandResult, type EventResult, type Outputs, Refused, Undecided } from "./decision.js";
import { refused, written } from "./decision.js";
import { stringify } from "./json.js";
import { ALREADY_EXISTS, EventType, NOT_FOUND, type RefusalType, type TimerType } from "./names.js";
import { Mismatch, type JsonSchema, type Schema, t } from "./schema.js";
import { inTurn } from "./sandbox.js";
import { Turn } from "./turn.js";
import type { Disposition, Message, Outcome } from "./wit.js";

type Method = "get" | "post" | "put" | "patch" | "delete";

/** Method and path of a command: `POST /orders/{orderId}/cancel`. */
export type Route = `${"POST" | "PUT" | "PATCH" | "DELETE"} /${string}`;

/** What every command declares. */
export interface CommandSpec<B, R> {
  /** One sentence for the API document. */
  summary: string;
  /** The body of the request, unless it has none. */
  body?: Schema<B>;
  /** The body of the reply; without it, `null`. */
  reply?: Schema<R>;
  /** The refusals that it may answer. */
  refuses?: readonly RefusalType[];
  /** Permissions that the caller needs. */
  requires?: readonly string[];
  /** The parameter in the path that is the key, where there are several. */
  keyParameter?: string;
  /** The pointer to the key in the body, where it is not in the path. */
  keyInBody?: string;
}

/** What a command declares that makes an aggregate. */
export interface CreateSpec<B, R> extends CommandSpec<B, R> {
  /** The path at which it can be read: `/orders/{orderId}`. */
  readableAt?: string;
}

/** What a read declares. */
export interface ReadSpec<S, R> {
  summary: string;
  reply: Schema<R>;
  refuses?: readonly RefusalType[];
  requires?: readonly string[];
  keyParameter?: string;
  /** True for states on which the saga has yet to decide. */
  pendingWhile?: (state: S) => boolean;
}

/** How an event is listened to. */
export interface SubscriptionSpec {
  /** The consumer group, one per topic and participant. */
  group: string;
  /** The pointer to the key in the body. */
  key: string;
  /** True if a record that names no event type is this event too. */
  untyped?: boolean;
  /** Older versions of the body, each made that of the next, the oldest first. */
  older?: readonly { version: number; body: Schema<any>; key?: string; upcast: (old: any) => unknown }[];
}

type Handler = (state: unknown, message: Message, settings: string) => unknown;

interface CommandRoute {
  name: string;
  describe: () => unknown;
  handle: Handler;
}

/** The rules of a participant with states `S`, keys `K` and settings `C`. */
export class Participant<S, K = string, C = null> {
  private base = { basePath: "", port: 0 };
  private version = 1;
  private readonly migrations: { version: number; from: Schema<any>; step: (old: any) => unknown }[] = [];
  private readonly commands = new Map<string, CommandRoute>();
  private readonly subscriptions = new Map<string, { event: EventType<any>; spec: SubscriptionSpec; handle: Handler }>();
  private readonly publications = new Map<string, EventType<any>>();
  private readonly timers = new Map<string, TimerType<any>>();
  private readonly timerHandlers = new Map<string, Handler>();
  private readonly listings: { name: string; path: string; item: string; summary: string; filters: object }[] = [];
  private given: { schema: Schema<C>; default: C } | undefined;
  private headers: readonly string[] = [];
  private asked: readonly string[] = [];

  /** @internal Use `participant`. */
  constructor(
    private readonly name: string,
    private readonly release: string,
    private readonly summary: string,
    private readonly state: Schema<S>,
    private readonly key: Schema<K>,
  ) {}

  /** The default endpoint of the commands: a prefix of every path, and a TCP port. */
  endpoint(basePath: string, port: number): this {
    this.base = { basePath, port };
    return this;
  }

  /** Settings that the operator may give, with their defaults. Declare them before the handlers that read them. */
  settings<D>(schema: Schema<D>, defaults: D): Participant<S, K, D> {
    const self = this as unknown as Participant<S, K, D>;
    self.given = { schema, default: defaults };
    return self;
  }

  /** Headers of requests and records that rules are told. */
  metadata(...names: string[]): this {
    this.headers = names;
    return this;
  }

  /** Claims of callers that rules are told. */
  claims(...names: string[]): this {
    this.asked = names;
    return this;
  }

  /** Version of the shape of the state, where it is not 1. */
  stateVersion(version: number): this {
    this.version = version;
    return this;
  }

  /** Reads states of `version`, by making them the shape of the next version; the oldest first. */
  migrate<Old>(version: number, from: Schema<Old>, step: (old: Old) => unknown): this {
    this.migrations.push({ version, from, step });
    return this;
  }

  /** A command that makes a new aggregate. One that exists is refused with `ALREADY_EXISTS`. */
  create<B = null, R = null>(
    name: string,
    route: Route,
    spec: CreateSpec<B, R>,
    handler: (body: B, turn: Turn<S, K, C, R>) => CommandResult,
  ): this {
    const kind = { tag: "create", val: spec.readableAt ?? null };
    const more = spec.keyInBody === undefined ? [] : [ALREADY_EXISTS];
    return this.command(name, route, kind, spec, more, (state, body, turn) => {
      if (state === undefined) return handler(body, turn);
      return refused(ALREADY_EXISTS, `${JSON.stringify(String(turn.key))} exists already: choose another`, null);
    });
  }

  /** A command that may change an aggregate. Where there is none, it is refused with `NOT_FOUND`. */
  change<B = null, R = null>(
    name: string,
    route: Route,
    spec: CommandSpec<B, R>,
    handler: (state: S, body: B, turn: Turn<S, K, C, R>) => CommandResult,
  ): this {
    return this.command(name, route, { tag: "change" }, spec, [NOT_FOUND], (state, body, turn) =>
      state === undefined ? notFound(turn.key) : handler(state, body, turn),
    );
  }

  /** A command that makes an aggregate or changes the one that exists. */
  upsert<B = null, R = null>(
    name: string,
    route: Route,
    spec: CommandSpec<B, R>,
    handler: (state: S | undefined, body: B, turn: Turn<S, K, C, R>) => CommandResult,
  ): this {
    return this.command(name, route, { tag: "change" }, spec, [], handler);
  }

  /** A GET that answers from the state. Where there is none, it is refused with `NOT_FOUND`. */
  read<R>(name: string, path: `/${string}`, spec: ReadSpec<S, R>, handler: (state: S, turn: Turn<S, K, C, R>) => R): this {
    const { pendingWhile } = spec;
    return this.command(name, `GET ${path}`, { tag: "read" }, spec, [NOT_FOUND], (state, _body, turn) => {
      if (state === undefined) return notFound(turn.key);
      const reply = settled(handler(state, turn), name);
      const decision = turn.unchanged();
      return pendingWhile?.(state) ? decision.pending(reply as R) : decision.reply(reply as R);
    });
  }

  /** Lets clients read the aggregates page by page; `item` is the read that shows each. */
  listing(name: string, path: `/${string}`, item: string, spec: { summary: string; filters?: { [parameter: string]: string } }): this {
    this.listings.push({ name, path, item, summary: spec.summary, filters: spec.filters ?? {} });
    return this;
  }

  /** Listens to an event. There may be no such aggregate. */
  on<B>(
    event: EventType<B>,
    spec: SubscriptionSpec,
    handler: (state: S | undefined, body: B, turn: Turn<S, K, C>) => EventResult,
  ): this {
    const handle: Handler = (state, message, settings) => {
      const body = this.present(event, spec, message);
      return handler(state as S | undefined, body as B, this.turn(message, settings, undefined));
    };
    this.once(this.subscriptions, "subscription", event.name).set(event.name, { event, spec, handle });
    return this;
  }

  /** Declares an event that handlers may publish. */
  publishes(...events: EventType<any>[]): this {
    for (const event of events) this.once(this.publications, "publication", event.name).set(event.name, event);
    return this;
  }

  /** Declares a timer, and decides when it is due. A timer of an aggregate that is gone does nothing. */
  timer<B>(timer: TimerType<B>, handler: (state: S, body: B, turn: Turn<S, K, C>) => EventResult): this {
    this.once(this.timers, "timer", timer.name).set(timer.name, timer);
    this.timerHandlers.set(timer.name, (state, message, settings) => {
      const turn = this.turn<never>(message, settings, undefined);
      if (state === undefined) return turn.unchanged();
      return handler(state as S, body(timer.body, message), turn);
    });
    return this;
  }

  /** `rules.describe` of the WIT. */
  describe(): unknown {
    const subscriptions = [...this.subscriptions.values()].map(({ event, spec }) => ({
      eventType: event.name,
      topic: event.topic,
      group: spec.group,
      key: spec.key,
      untyped: spec.untyped ?? false,
      schema: stringify(event.body.json),
      version: event.version,
      older: (spec.older ?? []).map((older) => ({
        version: older.version,
        key: older.key ?? spec.key,
        schema: stringify(older.body.json),
      })),
    }));
    const given = this.given;
    return {
      name: this.name,
      version: this.release,
      summary: this.summary,
      state: {
        version: this.version,
        oldestReadable: Math.min(this.version, ...this.migrations.map(({ version }) => version)),
        schema: stringify(this.state.json),
      },
      endpoint: this.base,
      commands: [...this.commands.values()].map((command) => command.describe()),
      subscriptions,
      publications: [...this.publications.values()].map((event) => ({
        eventType: event.name,
        topic: event.topic,
        schema: stringify(event.body.json),
        version: event.version,
      })),
      timers: [...this.timers.values()].map(({ name, body }) => ({ name, schema: stringify(body.json) })),
      listings: this.listings.map((listing) => ({
        ...listing,
        filters: Object.entries(listing.filters).map(([parameter, pointer]) => ({
          parameter,
          pointer,
          schema: stringify(at(this.state.json, pointer)),
        })),
      })),
      settings: given
        ? {
            schema: stringify(given.schema.json),
            default: written(given.schema, given.default, "the default settings"),
          }
        : null,
      metadata: [...this.headers],
      claims: [...this.asked],
    };
  }

  /** `rules.handle` of the WIT; a disposition is given, not thrown. */
  handle(state: string | null | undefined, message: Message, settings: string): Outcome | Disposition {
    return inTurn(message, () => this.decide(state ?? undefined, message, settings));
  }

  /** `rules.migrate` of the WIT; a disposition is given, not thrown. */
  migrated(version: number, state: string): string | Disposition {
    return inTurn(undefined, () => {
      try {
        return this.state.write(this.migratedState(version, state));
      } catch (error) {
        if (!(error instanceof Mismatch)) throw error;
        return { tag: "malformed", val: `a state of version ${version} can't be read: ${error}` };
      }
    });
  }

  private migratedState(version: number, state: string): S {
    if (version === this.version) return this.state.decode(state);
    const steps = this.migrations.filter((one) => one.version >= version);
    const first = steps.find((one) => one.version === version);
    if (!first || version > this.version) throw new Mismatch("no migration reads it");
    return steps.reduce((value, { step }) => step(value), first.from.decode(state)) as S;
  }

  private decide(state: string | undefined, message: Message, settings: string): Outcome | Disposition {
    const route = this.route(message);
    if (!route) {
      return { tag: "malformed", val: `these rules know no ${message.origin} named ${JSON.stringify(message.name)}` };
    }
    let result: unknown;
    try {
      result = route(this.stored(state), message, settings);
    } catch (error) {
      // Declining is thrown as well as returned; everything else is a fault.
      if (!(error instanceof Refused || error instanceof Undecided)) throw error;
      result = error;
    }
    result = settled(result, message.name);
    if (result instanceof Undecided) return { tag: result.tag, val: result.val };
    const isCommand = message.origin === "command";
    if (isCommand && result instanceof Answered) return result.outcome;
    if (!isCommand && result instanceof Decision) return result.outcome;
    throw new TypeError(
      isCommand
        ? `the rule of ${message.name} gave no reply: end its decision with .reply(…) or .pending(…)`
        : `the rule of ${message.name} gave no decision: return turn.put(…), turn.unchanged() or turn.remove()`,
    );
  }

  private route({ origin, name }: Message): Handler | undefined {
    if (origin === "command") return this.commands.get(name)?.handle;
    return origin === "event" ? this.subscriptions.get(name)?.handle : this.timerHandlers.get(name);
  }

  private stored(state: string | undefined): S | undefined {
    if (state === undefined) return undefined;
    try {
      return this.state.decode(state);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      throw new TypeError(
        `the stored state can't be read by these rules: ${error}; raise stateVersion and add a migration`,
      );
    }
  }

  private turn<R>(message: Message, settings: string, reply: Schema<any> | undefined): Turn<S, K, C, R> {
    const may: Outputs = { state: this.state, reply, publications: this.publications, timers: this.timers };
    const given = this.given ? decoded(this.given.schema, settings, "the settings can't be read") : null;
    return new Turn<S, K, C, R>(message, this.readKey(message.key), given as C, may);
  }

  /** `"007"` is no number: a key is read only if it is written as the same text. */
  private readKey(text: string): K {
    const isText = this.key.json["type"] === "string";
    try {
      const key = isText ? this.key.read(text) : this.key.decode(text);
      if (String(key) === text) return key;
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
    }
    throw new Undecided("malformed", `the key ${JSON.stringify(text)} is no ${this.key.json["format"] ?? "key"}`);
  }

  private present(event: EventType<any>, { older = [] }: SubscriptionSpec, message: Message): unknown {
    if (message.version === event.version) return body(event.body, message);
    const steps = older.filter((one) => one.version >= message.version);
    const first = steps.find((one) => one.version === message.version);
    if (!first) throw new Undecided("malformed", `the event ${event.name}: no upcast reads version ${message.version}`);
    return steps.reduce((value, { upcast }) => upcast(value), body(first.body, message));
  }

  private command(
    name: string,
    route: string,
    kind: { tag: string; val?: string | null },
    spec: CommandSpec<any, any>,
    more: RefusalType[],
    handler: (state: S | undefined, body: any, turn: Turn<S, K, C, any>) => CommandResult,
  ): this {
    const [method = "", path = ""] = route.split(" ");
    const reply = spec.reply ?? t.nothing();
    const describe = () => ({
      name,
      summary: spec.summary,
      method: method.toLowerCase() as Method,
      path,
      kind,
      key: keySource(kind.tag, path, spec),
      request: spec.body ? stringify(spec.body.json) : null,
      reply: stringify(reply.json),
      refusals: [...more, ...(spec.refuses ?? [])].map(({ kind, code, summary }) => ({ kind, code, summary })),
      requires: [...(spec.requires ?? [])],
    });
    const handle: Handler = (state, message, settings) => {
      const turn = this.turn<any>(message, settings, reply);
      return handler(state as S | undefined, spec.body ? body(spec.body, message) : null, turn);
    };
    this.once(this.commands, "command", name).set(name, { name, describe, handle });
    return this;
  }

  private once<V>(map: Map<string, V>, what: string, name: string): Map<string, V> {
    if (map.has(name)) throw new TypeError(`the ${what} ${name} is declared twice`);
    return map;
  }
}

/** The rules of a participant: its name, the version of its rules, one sentence for people, the shape of its states and keys. */
export function participant<S, K = string>(
  name: string,
  version: string,
  summary: string,
  shape: { state: Schema<S>; key?: Schema<K> },
): Participant<S, K> {
  const key = (shape.key ?? t.string()) as Schema<K>;
  return new Participant<S, K>(name, version, summary, shape.state, key);
}

/** What a handler gave. Rules never wait: a promise would be decided after the turn. */
function settled<T>(result: T, name: string): T {
  if (typeof (result as { then?: unknown } | null)?.then === "function") {
    throw new TypeError(
      `the rule of ${name} gave a promise: rules never wait, so they are no async functions, and import at the top of a file`,
    );
  }
  return result;
}

function decoded<T>(schema: Schema<T>, text: string, what: string): T {
  try {
    return schema.decode(text);
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new TypeError(`${what}: ${error}`);
  }
}

function body<B>(schema: Schema<B>, message: Message): B {
  try {
    return schema.decode(message.body);
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new Undecided("malformed", `the body is not of the expected shape: ${error}`);
  }
}

function notFound(key: unknown): Refused {
  return refused(NOT_FOUND, `There is nothing of the key ${JSON.stringify(String(key))}.`, null);
}

function keySource(kind: string, path: string, spec: CommandSpec<any, any>): { tag: string; val?: string } {
  const parameters = [...path.matchAll(/\{([^}]*)\}/g)].map(([, name]) => name as string);
  if (spec.keyInBody !== undefined) return { tag: "body", val: spec.keyInBody };
  if (spec.keyParameter !== undefined) return { tag: "path-parameter", val: spec.keyParameter };
  if (parameters.length === 0 && kind === "create") return { tag: "generated" };
  return { tag: "path-parameter", val: parameters.length === 1 ? (parameters[0] as string) : "" };
}

/** The schema of the value at a pointer in a state. */
function at(json: JsonSchema, pointer: string): JsonSchema {
  let found: JsonSchema | undefined = json;
  for (const name of pointer.split("/").slice(1)) {
    const properties = found?.["properties"] as { [name: string]: JsonSchema } | undefined;
    found = properties?.[name.replace(/~1/g, "/").replace(/~0/g, "~")];
  }
  if (!found) throw new TypeError(`a filter is at ${pointer}, where the state has no member`);
  return found;
}
