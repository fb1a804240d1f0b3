// The test that the README shows.
import { test } from "node:test";
import { given } from "saga-sdk/testing";
import library, { ANSWERED, WISHED } from "../rules.js";

test("a wish takes a copy", () => {
  given(library, { title: "Emma", copies: 1 })
    .key(7)
    .whenEvent(WISHED, { book: 7n, reader: "Ann" })
    .state({ title: "Emma", copies: 0 })
    .published(ANSWERED, 7, { reader: "Ann", lent: true })
    .publishedNoMore();
});
