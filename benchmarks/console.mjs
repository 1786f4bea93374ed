// The console in Chromium, for benchmarks/console.py. Prints one line of JSON each: first paints, then "live" once all
// tabs are, then what each tab has seen after a line on standard input.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { BASE, CHROMIUM, PLAYWRIGHT, TABS, PAGES } = process.env;
const { chromium } = await import(pathToFileURL(`${PLAYWRIGHT}/playwright-core/index.mjs`));
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
const say = (what) => console.log(JSON.stringify(what));

const paints = [];
const page = await browser.newPage({ baseURL: BASE });
for (let round = 0; round < 4; round++) {
  for (const path of JSON.parse(PAGES)) {
    await page.goto(path, { waitUntil: "load" });
    const paint = await page.waitForFunction(
      () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
    );
    if (round) paints.push({ path, ms: await paint.jsonValue() }); // the first round fills the browser's cache
  }
}
say(paints);

// Each tab has a context of its own: tabs of one context share six connections to a host over HTTP/1.1.
const tabs = await Promise.all(
  Array.from({ length: Number(TABS) }, async () => {
    const tab = await (await browser.newContext({ baseURL: BASE })).newPage();
    await tab.goto("/live?outcome=delivered");
    await tab.evaluate(() => {
      window.frames = []; // when a frame has shown rows, and how many have come by then
      const body = document.getElementById("live");
      new MutationObserver(() => {
        const count = Number(body.dataset.count);
        requestAnimationFrame(() => window.frames.push([Date.now(), count]));
      }).observe(body, { attributeFilter: ["data-count"] });
    });
    await tab.locator("#live-state.on").waitFor();
    return tab;
  }),
);
say("live");
const lines = createInterface({ input: process.stdin });
const [written] = await once(lines, "line"); // the number of rows that each tab is to have
lines.close();
const all = { timeout: 60000, polling: 200 };
const has = (count) => window.frames.at(-1)?.[1] >= count;
await Promise.allSettled(tabs.map((tab) => tab.waitForFunction(has, Number(written), all)));
say(await Promise.all(tabs.map((tab) => tab.evaluate(() => window.frames))));
// All that a page keeps can be read: it is scrolled down until no more rows come.
const read = async (tab) => {
  const rows = tab.locator("#live > tr");
  for (let before = 0; (await rows.count()) > before; ) {
    before = await rows.count();
    await tab.evaluate(async () => {
      scrollTo(0, document.documentElement.scrollHeight);
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    });
  }
  return rows.evaluateAll((all) => all.map((row) => row.id.split(":")[1]));
};
const kept = [];
for (const tab of tabs) kept.push(await read(tab));
say(kept);
await browser.close();
process.exit();
