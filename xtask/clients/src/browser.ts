// A page of the gateway in headless Chromium opens the stock feed with EventSource, its token in the address, and tries again
// with a token that is not good. Chromium is driven over its own DevTools protocol by a pipe; nothing is installed for it.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

import { expect, setting } from "./expect.js";

const DEADLINE_MS = 40_000;
const gateway = setting("GATEWAY");
const sku = setting("SKU");
const token = setting("TOKEN");

const profile = mkdtempSync(join(tmpdir(), "stampede-browser-"));
// Root may not use the sandbox; the page is our own.
const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
const chromium = spawn(
  setting("CHROMIUM"),
  ["--headless", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--no-proxy-server", ...sandbox,
    `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);
const [, , , toBrowser, fromBrowser] = chromium.stdio as unknown as [null, null, null, Writable, Readable];
const timer = setTimeout(() => end(1, `Chromium did not finish within ${DEADLINE_MS / 1000} s`), DEADLINE_MS);
chromium.on("error", (error) => end(1, `Chromium does not start: ${error.message}`));

function end(code: number, words?: string): never {
  clearTimeout(timer);
  if (words !== undefined) console.error(words);
  chromium.kill("SIGKILL");
  try {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  } catch {
    // It lies in the system's folder for such things.
  }
  process.exit(code);
}

// Messages are JSON with a zero byte after each, both ways.
type Answer = { id?: number; result?: Record<string, any>; error?: { message: string } };
const waiting = new Map<number, (answer: Answer) => void>();
let buffered = "";
fromBrowser.setEncoding("utf8").on("data", (text: string) => {
  const parts = (buffered + text).split("\0");
  buffered = parts.pop() ?? "";
  for (const part of parts) {
    const answer = JSON.parse(part) as Answer;
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer);
  }
});

let last = 0;
async function call(method: string, params: object, sessionId?: string): Promise<Record<string, any>> {
  const id = ++last;
  const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve));
  toBrowser.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
  const answer = await answered;
  if (answer.error) end(1, `${method}: ${answer.error.message}`);
  return answer.result ?? {};
}

/** What runs in the page. It is sent as text. */
async function inPage(address: string): Promise<{ id: string; data: any; again: string }> {
  const first = (url: string) =>
    new Promise<MessageEvent>((resolve, reject) => {
      const source = new EventSource(url);
      source.onmessage = (event) => { source.close(); resolve(event); };
      source.onerror = () => { source.close(); reject(new Error("the feed failed")); };
    });
  const event = await first(address);
  const refused = await first(address.replace("access_token=", "access_token=x")).then(() => "let in", () => "refused");
  return { id: event.lastEventId, data: JSON.parse(event.data), again: refused };
}

const { targetId } = await call("Target.createTarget", { url: "about:blank" });
const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
// Answered when the page is the one asked for; its script may still be on the way.
const { errorText } = await call("Page.navigate", { url: `${gateway}/docs` }, sessionId);
if (errorText) end(1, `${gateway}/docs: ${errorText}`);
const ready = "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))";
await call("Runtime.evaluate", { expression: ready, awaitPromise: true }, sessionId);
const address = `/v1/stock:watch?skuIds=${encodeURIComponent(sku)}&access_token=${token}`;
const evaluated = await call(
  "Runtime.evaluate",
  { expression: `(${inPage.toString()})(${JSON.stringify(address)})`, awaitPromise: true, returnByValue: true },
  sessionId,
);
if (evaluated.exceptionDetails) {
  const words: string = evaluated.exceptionDetails.exception?.description ?? evaluated.exceptionDetails.text;
  end(1, `EventSource: ${words.replaceAll(token, "(token)")}`);
}
const { id, data, again } = evaluated.result.value;
if (!id || !data.snapshot) end(1, `EventSource: the first event is no snapshot with an id: ${JSON.stringify(data)}`);
if (again !== "refused") end(1, "EventSource: a forged token was let in");
const { product } = await call("Browser.getVersion", {});
console.log(`EventSource in ${product}: a snapshot of ${data.snapshot.levels.length} levels, event id of ${id.length} characters; a forged token is refused`);
end(0);
