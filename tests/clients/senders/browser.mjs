// A tracker in Chromium: a shop page on an origin of its own, whose buttons a shopper presses.
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";
import { pause, untilClosed, url, user, writeKey } from "./visit.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const LIBRARIES = {
  segment: "@segment/analytics-next/dist/umd/index.js",
  "segment-batching": "@segment/analytics-next/dist/umd/index.js",
  rudderstack: "@rudderstack/analytics-js/dist/npm/modern/bundled/esm/index.mjs",
  jitsu: "@jitsu/js/dist/jitsu.es.js",
};
const library = process.argv[2];

const here = (path) => new URL(path, import.meta.url);
const shop = createServer((request, response) => {
  const isLibrary = request.url === "/library.js";
  response.setHeader("content-type", isLibrary ? "text/javascript" : "text/html");
  createReadStream(isLibrary ? here(`../node_modules/${LIBRARIES[library]}`) : here("shop.html")).pipe(response);
});
await new Promise((listening) => shop.listen(0, "127.0.0.1", listening));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [...FLAGS, "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  page.on("console", (message) => console.error(message.text()));
  page.on("pageerror", (error) => console.error(error));
  const query = new URLSearchParams({ gateway: url, library, writeKey, user });
  await page.goto(`http://127.0.0.1:${shop.address().port}/?${query}`);
  await page.click("#ready #look");
  await pause();
  for (const button of ["#add", "#checkout", "#buy"]) await page.click(button);
  await untilClosed(); // a library sends again for as long as its page is open
} finally {
  await browser.close();
  shop.close();
}
process.exit(0);
