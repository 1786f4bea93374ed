// What the Node senders share: one shopper's visit in two halves, and the pause between them.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

export const { GATEWAY: url, WRITE_KEY: writeKey, SHOPPER: user } = process.env;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Say that the first half is sent, and wait until told to go on. */
export async function pause() {
  console.log("half");
  await lines.next();
}

/** Wait until standard input is closed. */
export async function untilClosed() {
  while (!(await lines.next()).done);
}

/** Send the first half, pause, send the rest. `send` and `flush` return promises. */
export async function visit(send, flush) {
  const text = await readFile(new URL("visit.json", import.meta.url), "utf8");
  const events = JSON.parse(text.replaceAll("USER", user));
  for (const event of events.slice(0, 3)) await send(event);
  await flush();
  await pause();
  for (const event of events.slice(3)) await send(event);
  await flush();
  process.exit(0);
}
