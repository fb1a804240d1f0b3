// The participant that the README shows.
import { event, participant, refusal, t } from "saga-sdk";

/** The state of one aggregate; here, one book. */
const Book = t.object({ title: t.string(), copies: t.integer({ minimum: 0 }) });
const Wish = t.object({ book: t.uint64(), reader: t.string() });

export const WISHED = event("library.wished", "wishes", Wish);
export const ANSWERED = event("library.answered", "answers", t.object({ reader: t.string(), lent: t.boolean() }));
const TOO_MANY = refusal.invalid("too-many", "Nobody delivers more than 100 copies.");

export default participant("library", "0.1.0", "Lends books.", { state: Book, key: t.uint64() })
  .endpoint("/library", 8080)
  .publishes(ANSWERED)
  .create("add-book", "POST /books", { summary: "Adds a book.", body: Book, reply: t.uint64() }, (book, turn) =>
    turn.put(book).reply(turn.key),
  )
  .change(
    "restock",
    "POST /books/{book}/deliveries",
    { summary: "Takes in copies.", body: t.object({ copies: t.integer() }), refuses: [TOO_MANY] },
    (book, { copies }, turn) => {
      if (copies > 100) return turn.refuse(TOO_MANY, "send at most 100", "/copies");
      return turn.put({ ...book, copies: book.copies + copies }).reply(null);
    },
  )
  .read("get-book", "/books/{book}", { summary: "Shows a book.", reply: Book }, (book) => book)
  .on(WISHED, { group: "library", key: "/book" }, (book, { reader }, turn) => {
    const lent = book !== undefined && book.copies > 0;
    const decision = lent ? turn.put({ ...book, copies: book.copies - 1 }) : turn.unchanged();
    return decision.publish(ANSWERED, turn.key, { reader, lent });
  });
