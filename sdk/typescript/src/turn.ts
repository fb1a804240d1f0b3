// What a rule is told besides the state and the body, and by which it decides.
import { Decision, type Outputs, type Refused, Undecided, refused, written } from "./decision.js";
import type { RefusalType } from "./names.js";
import { Mismatch, type Schema } from "./schema.js";
import type { Message } from "./wit.js";

/** Who sent a command. */
export class Caller {
  /** @internal */
  constructor(
    /** Name of the caller: the subject of the token, or what the proxy says. */
    readonly subject: string,
    private readonly text: string,
  ) {}

  /** The claims that the contract asks for. One that the caller does not have is missing. */
  claims<C>(schema: Schema<C>): C {
    try {
      return schema.decode(this.text);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      throw new Undecided("malformed", `the caller's claims: ${error}`);
    }
  }
}

/** The circumstances of one message, always the same for the same message; and the ways to decide on it. */
export class Turn<S, K = string, C = null, R = never> {
  /** @internal */
  constructor(
    private readonly message: Message,
    /** Key of the aggregate. */
    readonly key: K,
    /** The settings that the operator gave, over the default ones. */
    readonly settings: C,
    private readonly may: Outputs,
  ) {}

  /** Identity of the message. The host applies one id at most once. */
  get id(): string {
    return this.message.id;
  }

  /** Source of the message: a URI reference such as `/saga/order`. */
  get source(): string {
    return this.message.source;
  }

  /** When the turn takes place, in milliseconds since 1970. `Date.now()` is the same. */
  get time(): number {
    return Number(this.message.time);
  }

  /** Id that all messages of one saga share. */
  get correlation(): string {
    return this.message.correlation;
  }

  /** Id of the message whose decision published this event or set this timer. */
  get causation(): string | undefined {
    return this.message.causation ?? undefined;
  }

  /** Who sent the command. */
  get caller(): Caller | undefined {
    const { caller } = this.message;
    return caller ? new Caller(caller.subject, caller.claims) : undefined;
  }

  /** A header that the contract asks for. */
  metadata(name: string): string | undefined {
    return this.message.metadata.find((one) => one.name === name)?.value;
  }

  /** A parameter in the path of the command. */
  parameter(name: string): string | undefined {
    return this.message.parameters.find((one) => one.name === name)?.value;
  }

  /** The state becomes this one. */
  put(state: S): Decision<R> {
    return new Decision({ tag: "put", val: written(this.may.state, state, "the new state") }, this.may);
  }

  /** The state stays as it is; where there was none, there is none. */
  unchanged(): Decision<R> {
    return new Decision({ tag: "unchanged" }, this.may);
  }

  /** Removes the aggregate: its next message finds no state. */
  remove(): Decision<R> {
    return new Decision({ tag: "remove" }, this.may);
  }

  /** Refuses the command. `detail` says what was wrong and what to do; `at` is the place in the body. */
  refuse(type: RefusalType, detail: string, at: string | null = null): Refused {
    return refused(type, detail, at);
  }

  /** This message can never be decided: it becomes a dead letter, or the client gets 400. */
  malformed(why: string): Undecided {
    return new Undecided("malformed", why);
  }

  /** Not now: the host offers the message again later. */
  retryLater(why: string): Undecided {
    return new Undecided("retry-later", why);
  }
}
