// People at the page: one headless Chromium, one context per person, driven by JSON lines on stdin.
//
//   {"user": "alice", "open": URL}                     {"user": …, "fill": SELECTOR, "value": TEXT}
//   {"user": …, "click": SELECTOR}                     {"user": …, "press": KEY}
//   {"user": …, "see": SELECTOR, "text": TEXT}         waits until an element's text or value has TEXT in it
//   {"user": …, "gone": SELECTOR}                      waits until nothing matches or it is hidden
//   {"user": …, "knock": true}                         waits for the page's next socket, and that it is not opened
//   {"user": …, "hold": TEXT}                          keeps back the answers to operations that have TEXT in them
//   {"user": …, "held": true}, {"user": …, "let": true}  waits until there is one, lets them come
//   {"user": …, "leave": true}                         closes the tab as a person does
//   {"user": …, "screenshot": PATH}                    {"kill": true} kills the whole browser, {"quit": true} ends
//
// Each is answered by one line: {"ok": true, "seen": TEXT} or {"ok": false, "error": …}. What a page logs as an error
// or as a breach of its content security policy comes as {"console": …} on a line of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

// The bound of every wait, a little less than that of the test, so that the page's own reason is told.
const TIMEOUT_MS = 25_000;

// A killed browser leaves its files behind; they go with this process.
const scratch = mkdtempSync(join(tmpdir(), "browser-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const server = await chromium.launchServer({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  handleSIGTERM: false,
  env: { ...process.env, TMPDIR: scratch },
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
process.once("SIGTERM", () => server.close().finally(() => process.exit(0)));
const browser = await chromium.connect(server.wsEndpoint());
const pages = new Map();

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function pageOf(user) {
  if (!pages.has(user)) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    page.on("console", (message) => isComplaint(message) && print({ console: message.text(), user }));
    page.on("pageerror", (error) => print({ console: String(error), user }));
    pages.set(user, page);
  }
  return pages.get(user);
}

// Chromium also calls it an error when a server that was stopped on purpose cannot be reached, still starts, or refuses
// a token.
function isComplaint(message) {
  const expected = /net::ERR_|status of (401|503)|response code: 503|closed before receiving a handshake response/;
  return message.type() === "error" && !expected.test(message.text());
}

async function see(page, selector, text) {
  const found = await page.waitForFunction(
    ([wanted, part]) => {
      const shown = [...document.querySelectorAll(wanted)].filter((element) => element.checkVisibility());
      return shown.map((element) => element.value ?? element.textContent).find((content) => content.includes(part));
    },
    [selector, text],
  );
  return { seen: await found.jsonValue() };
}

async function knock(page) {
  const socket = await page.waitForEvent("websocket");
  await socket.waitForEvent("socketerror");
}

const held = new Map();

// What was asked is carried out; only the page does not hear of it.
async function hold(user, page, text) {
  let come, release;
  const came = new Promise((resolve) => (come = resolve));
  const released = new Promise((resolve) => (release = resolve));
  held.set(user, { came, release });
  await page.route("**/graphql", async (route) => {
    if (!route.request().postData()?.includes(text)) return route.continue();
    const response = await route.fetch();
    come();
    await released;
    await route.fulfill({ response });
  });
}

async function leave(user, page) {
  pages.delete(user);
  await page.close({ runBeforeUnload: false });
}

async function carryOut(command) {
  if (command.kill) {
    await server.kill();
    return {};
  }
  const page = await pageOf(command.user);
  if (command.open) await page.goto(command.open);
  if (command.fill) await page.fill(command.fill, command.value);
  if (command.select) await page.selectOption(command.select, command.value);
  if (command.click) await page.click(command.click);
  if (command.press) await page.keyboard.press(command.press);
  if (command.see) return see(page, command.see, command.text ?? "");
  if (command.gone) await page.locator(command.gone).first().waitFor({ state: "hidden" });
  if (command.hold) await hold(command.user, page, command.hold);
  if (command.held) await held.get(command.user).came;
  if (command.let) held.get(command.user).release();
  if (command.knock) await knock(page);
  if (command.dark) await page.emulateMedia({ colorScheme: "dark" });
  if (command.screenshot) await page.screenshot({ path: command.screenshot, fullPage: true });
  if (command.leave) await leave(command.user, page);
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.quit) break;
  try {
    print({ ok: true, ...(await carryOut(command)) });
  } catch (error) {
    print({ ok: false, error: String(error.message) });
  }
}
await server.close();
