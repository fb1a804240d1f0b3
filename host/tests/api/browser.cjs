// Drives Swagger UI in a real browser, as a person would: browser.cjs WHAT PLAN, where PLAN is JSON.
//
// walk: the article's walk. {customer, order: URLs of the pages; shots: a directory}
// swap: a page before and after a swap. {page; saga: [PROGRAM, ARGUMENT...]; before, after: [["get", "/path"], ...];
//       shots}; the last of `after` is new, and tried
//
// Fails with what went wrong, and where anything was asked of another origin, the console said an error, or the page's
// policy was violated. Each step leaves a picture.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

// For one step, and for all. The machine may be busy.
const STEP_MS = 60_000;
const ALL_MS = 240_000;

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A page of Swagger UI. */
class Page {
  constructor(page, shots) {
    this.page = page;
    this.shots = shots;
    this.wrong = [];
    page.on("request", (request) => {
      const url = new URL(request.url());
      const isLocal = ["data:", "blob:"].includes(url.protocol) || url.origin === this.origin;
      if (!isLocal) this.wrong.push(`asked for ${request.url()}`);
    });
    page.on("console", (message) => {
      if (message.type() === "error") this.wrong.push(`the console says: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.wrong.push(`a script broke: ${error}`));
  }

  async open(url) {
    this.origin = new URL(url).origin;
    await this.page.goto(url);
    await this.page.locator(".opblock").first().waitFor();
  }

  /** What can be called, as the page lists it. */
  async operations() {
    await this.page.locator(".opblock").first().waitFor();
    return this.page.locator(".opblock").evaluateAll((blocks) =>
      blocks.map((block) => [
        block.querySelector(".opblock-summary-method").textContent.toLowerCase(),
        block.querySelector(".opblock-summary-path").dataset.path,
      ]),
    );
  }

  /** Checks that these can be called, whatever else can. */
  async lists(...wanted) {
    const all = (await this.operations()).map(String);
    for (const operation of wanted) assert.ok(all.includes(String(operation)), `${operation} is none of ${all}`);
  }

  /** The block of an operation, opened and ready to be filled in. */
  async ready(method, template) {
    const block = this.page
      .locator(`.opblock-${method}`)
      .filter({ has: this.page.locator(`[data-path="${template}"]`) });
    const button = block.locator(".try-out__btn:not(.reset)");
    if (!(await button.isVisible())) await block.locator(".opblock-summary-control").click();
    await button.waitFor();
    if ((await button.textContent()).includes("Try it out")) await button.click();
    return block;
  }

  /** Calls an operation by way of the page; gives what the page shows as the live answer. */
  async call(method, template, { body, key } = {}) {
    const block = await this.ready(method, template);
    if (body !== undefined) {
      const text = block.locator("textarea.body-param__text");
      // The page offers the document's example.
      assert.deepEqual(Object.keys(JSON.parse(await text.inputValue())).sort(), Object.keys(body).sort());
      await text.fill(JSON.stringify(body));
    }
    for (const [name, value] of Object.entries(key ?? {})) {
      await block.locator(`tr[data-param-name="${name}"] input`).fill(String(value));
    }
    const clear = block.locator(".btn-clear");
    const answer = block.locator(".live-responses-table");
    if (await clear.isVisible()) {
      await clear.click();
      await answer.waitFor({ state: "detached" });
    }
    await block.locator(".btn.execute").click();
    const row = answer.locator("tbody tr.response").first();
    const status = Number.parseInt(await row.locator(".response-col_status").innerText(), 10);
    const shown = await row.locator(".highlight-code pre, pre.microlight").first().innerText();
    await block.evaluate((element) => element.scrollIntoView());
    return { status, body: JSON.parse(shown) };
  }

  async picture(name) {
    await this.page.screenshot({ path: path.join(this.shots, `${name}.png`) });
  }

  unharmed() {
    assert.deepEqual(this.wrong, []);
  }
}

async function walk(context, { customer, order, shots }) {
  const shop = await open(context, shots);
  for (const url of [customer, `${customer}/`]) {
    await shop.open(url);
    await shop.lists(["post", "/customers"], ["get", "/customer/{customerId}"]);
  }
  await shop.picture("customer");
  const ann = await shop.call("post", "/customers", { body: { name: "Ann", creditLimit: { amount: 1000 } } });
  assert.equal(ann.status, 201);
  const { customerId } = ann.body;
  assert.deepEqual(ann.body, { customerId, name: "Ann", amount: 1000 });
  await shop.picture("customer-made");

  const desk = await open(context, shots);
  for (const url of [`${order}/`, order]) {
    await desk.open(url);
    await desk.lists(["post", "/orders"], ["get", "/orders/{orderId}"]);
  }
  await desk.picture("order");
  for (const [amount, decision] of [
    [300, "APPROVED"],
    [701, "REJECTED"],
  ]) {
    const placed = await desk.call("post", "/orders", { body: { customerId, orderTotal: { amount } } });
    assert.equal(placed.status, 201);
    const { orderId } = placed.body;
    assert.deepEqual(placed.body, { orderId, orderState: "PENDING", customerId, orderTotal: amount });
    const end = Date.now() + STEP_MS;
    let read;
    do {
      read = await desk.call("get", "/orders/{orderId}", { key: { orderId } });
      assert.equal(read.status, 200);
    } while (read.body.orderState === "PENDING" && Date.now() < end);
    assert.deepEqual(read.body, { orderId, orderState: decision });
    await desk.picture(`order-${decision.toLowerCase()}`);
  }
  const left = await shop.call("get", "/customer/{customerId}", { key: { customerId } });
  assert.deepEqual(left, { status: 200, body: { id: customerId, name: "Ann", creditLimit: 700 } });
  await shop.picture("customer-left");
  shop.unharmed();
  desk.unharmed();
}

async function swap(context, { page, saga, before, after, shots }) {
  const shown = await open(context, shots);
  await shown.open(page);
  const listed = async () => (await shown.operations()).map(String).sort();
  assert.deepEqual(await listed(), before.map(String).sort());
  await shown.picture("swap-before");
  execFileSync(saga[0], saga.slice(1), { stdio: ["ignore", "ignore", "inherit"], timeout: STEP_MS });
  await shown.page.reload();
  assert.deepEqual(await listed(), after.map(String).sort());
  const [method, template] = after.at(-1);
  const { status } = await shown.call(method, template, { key: { key: "k" } });
  assert.equal(status, 200);
  await shown.picture("swap-after");
  shown.unharmed();
}

async function open(context, shots) {
  return new Page(await context.newPage(), shots);
}

async function main() {
  const [what, plan] = process.argv.slice(2);
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "swagger-ui-"));
  let context;
  try {
    context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM,
      args: ARGUMENTS,
      timeout: STEP_MS,
      viewport: { width: 1280, height: 1400 },
    });
    context.setDefaultTimeout(STEP_MS);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`${event.violatedDirective} forbids ${event.blockedURI}`);
      });
    });
    await { walk, swap }[what](context, JSON.parse(plan));
  } catch (error) {
    const { shots } = JSON.parse(plan);
    const last = context?.pages().at(-1);
    await last?.screenshot({ path: path.join(shots, `${what}-failed.png`) });
    throw error;
  } finally {
    await context?.close();
    // The browser may be writing still.
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  }
}

setTimeout(() => {
  console.error(`not done within ${ALL_MS / 1000} s`);
  process.exit(1);
}, ALL_MS).unref();

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
