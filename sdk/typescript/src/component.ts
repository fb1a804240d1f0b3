// The exports of a component: the rules of the WIT, over those of an author.
import { stringify } from "./json.js";
import type { Participant } from "./participant.js";
import { enterComponent } from "./sandbox.js";
import type { Disposition, Message, Outcome } from "./wit.js";

/** Lines of the bundle, each with the file and line that it was made from. */
export type Lines = { files: string[]; lines: (readonly [number, number] | null)[] };

/** The rules of the WIT, as a component exports them. */
export function rules(participant: Participant<any, any, any>): object {
  if (typeof participant?.handle !== "function") {
    throw new TypeError("the rules' file has no default export that was made with participant(…)");
  }
  return {
    describe: () => faulting(() => participant.describe()),
    handle(state: string | null | undefined, message: Message, settings: string): Outcome {
      const decided = faulting(() => participant.handle(state, message, settings));
      if ("tag" in decided) throw decided satisfies Disposition;
      // An engine for which a time is a bigint takes one too.
      if (typeof message.time === "bigint") {
        for (const timer of decided.timers) if (timer.tag === "set") timer.val.due = BigInt(timer.val.due);
      }
      return decided;
    },
    migrate(version: number, state: string): string {
      const migrated = faulting(() => participant.migrated(version, state));
      if (typeof migrated !== "string") throw migrated satisfies Disposition;
      return migrated;
    },
  };
}

/** Ends the turn as a fault where rules throw, with message, file and line. */
function faulting<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    // Engines print it among words of their own; the host shows what stands between these.
    throw new Error(`saga-fault<${described(error)}>saga-fault`);
  }
}

/** Message and causes, and the places in the author's files. */
function described(error: unknown): string {
  const words: string[] = [];
  for (let one = error, depth = 0; one !== undefined && depth < 4; depth += 1) {
    words.push(one instanceof Error ? `${one.name}: ${one.message}` : `threw ${shown(one)}, which is no Error`);
    one = one instanceof Error ? one.cause : undefined;
  }
  const places = error instanceof Error ? located(error.stack ?? "") : [];
  const text = words.join(", caused by ");
  return places.length > 0 ? `${text}, at ${places.join(", from ")}` : text;
}

function shown(value: unknown): string {
  try {
    return typeof value === "object" ? stringify(value) : String(value);
  } catch {
    return `a value of type ${typeof value}`;
  }
}

const PLACES = 8;

/** The places of a stack that are the author's; those of the SDK only where there is no other. */
function located(stack: string): string[] {
  const map = (globalThis as { __SAGA_LINES?: Lines }).__SAGA_LINES;
  const found: string[] = [];
  for (const line of stack.split("\n")) {
    const at = map?.lines[Number(/:(\d+):\d+\)?$/.exec(line.trim())?.[1] ?? 0) - 1];
    const place = at && `${map?.files[at[0]]}:${at[1]}`;
    if (place && found.at(-1) !== place) found.push(place);
  }
  const own = found.filter((place) => !place.startsWith("saga-sdk/"));
  return (own.length > 0 ? own : found).slice(0, PLACES);
}

enterComponent();
