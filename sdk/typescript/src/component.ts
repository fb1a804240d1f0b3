// The exports of a component: the rules of the WIT, over those of an author.
import type { Participant } from "./participant.js";
import { enterComponent } from "./sandbox.js";
import type { Disposition, Message, Outcome } from "./wit.js";

/** Lines of the bundle, each with the file and line that it was made from. */
export type Lines = { files: string[]; lines: (readonly [number, number] | null)[] };

declare const __SAGA_LINES: Lines | undefined;

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
    throw new Error(described(error));
  }
}

/** Message, and the places in the author's files. */
function described(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${typeof error === "object" ? "an object" : String(error)}, which is no Error`;
  const places = located(error.stack ?? "");
  const head = `${error.name}: ${error.message}`;
  return places.length > 0 ? `${head}, at ${places.join(", from ")}` : head;
}

const PLACES = 8;

function located(stack: string): string[] {
  const map = typeof __SAGA_LINES === "undefined" ? undefined : __SAGA_LINES;
  const found: string[] = [];
  for (const line of stack.split("\n")) {
    const at = map?.lines[Number(/:(\d+):\d+\)?$/.exec(line.trim())?.[1] ?? 0) - 1];
    const place = at && `${map?.files[at[0]]}:${at[1]}`;
    if (place && found.at(-1) !== place) found.push(place);
    if (found.length >= PLACES) break;
  }
  return found;
}

enterComponent();
