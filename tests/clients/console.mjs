// The console in Chromium: every journey with scripts and without, attacks on every page, and axe.
// Prints one line of JSON for each check: {"check": …, "problem": "" or what is wrong}.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const { BASE, CHROMIUM, PASSWORD, PATHS, SESSIONS, SHOTS } = process.env;
const sessions = JSON.parse(SESSIONS); // by user
const LIMIT_MS = 90000; // it ends what hangs, and decides nothing else
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...FLAGS, "--disable-component-update"] });

async function check(name, work) {
  let problem = "";
  try {
    problem = (await work()) || "";
  } catch (failure) {
    problem = String(failure).slice(0, 600);
  }
  console.log(JSON.stringify({ check: name, problem }));
}

async function visit(user, { form = false, ...options } = {}) {
  const context = await browser.newContext({ baseURL: BASE, viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.troubles = [];
  page.on("dialog", (dialog) => (page.troubles.push(`dialog ${dialog.message()}`), dialog.dismiss()));
  page.on("pageerror", (error) => page.troubles.push(`error ${error.message}`));
  page.on("console", (said) => /Content Security|Refused to/.test(said.text()) && page.troubles.push(said.text()));
  if (!form) {
    await context.addCookies([{ name: "console-session", value: sessions[user], url: BASE }]);
    return page;
  }
  await page.goto("/");
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  return page;
}

const sees = (page, text) => page.getByText(text).first().waitFor();

// A run goes on after the request that began it. Without scripts, the page does not read itself again.
async function begin(page, button, path, what) {
  const answered = page.waitForResponse((answer) => answer.request().method() === "POST");
  await page.getByRole("button", { name: button }).click();
  await answered;
  for (let tries = 0; (await what.count()) === 0 && tries < 100; tries++) {
    await page.waitForTimeout(100);
    await page.goto(path);
  }
  await what.waitFor();
}

// What is wrong with a page: too wide for its screen, or hard to use with a screen reader, a keyboard or weak eyes.
async function flaws(page, { axe = true } = {}) {
  const where = new URL(page.url()).pathname;
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const found = wide > 0 ? [`${where} is ${wide} px too wide`] : [];
  if (!axe) return found;
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const each of violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
    found.push(`${where} ${each.id}: ${each.nodes[0].html.slice(0, 160)}`);
  }
  return found;
}
const answers = []; // flaws of pages that only a form opens

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? "with scripts" : "without scripts";
  const as = (user, options) => visit(user, { javaScriptEnabled, ...options });
  const look = async (page) => javaScriptEnabled && answers.push(...(await flaws(page)));

  await check(`each role signs in and sees its menu, ${how}`, async () => {
    for (const [user, oversees] of [["vera", false], ["otto", false], ["adam", true]]) {
      const page = await as(user, { form: true });
      if ((await page.getByRole("link", { name: "Audit log" }).count()) !== Number(oversees)) return `${user}: menu`;
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Password").waitFor();
      await page.context().close();
    }
  });
  await check(`a dropped event is explained, ${how}`, async () => {
    const page = await as("vera");
    await page.goto("/events?outcome=dropped");
    await page.getByRole("link", { name: "Page Left" }).first().click();
    await sees(page, "Received and dropped: no identity");
    await page.context().close();
  });
  await check(`a dead letter is edited, checked and replayed, ${how}`, async () => {
    const page = await as("otto");
    await page.goto("/dead-letters?reason=http_400&event=Product Viewed");
    await page.getByRole("rowheader", { name: "Product Viewed" }).first().getByRole("link").click();
    await page.getByRole("link", { name: "Edit" }).click();
    await page.getByLabel("Set fields").fill("items.0.price.0.value=cheap");
    await page.getByRole("button", { name: "Check" }).click();
    await sees(page, "Nothing was changed");
    await page.getByLabel("Set fields").fill("items.0.price.0.value=24.5");
    await page.getByRole("button", { name: "Check" }).click();
    await page.locator("ins", { hasText: "24.5" }).waitFor();
    await look(page);
    await page.getByRole("button", { name: "Save" }).click();
    await sees(page, "It has a new ID");
    await page.getByRole("button", { name: "Replay" }).click();
    await sees(page, "waits in its lane again");
    await page.context().close();
  });
  await check(`many are counted and replayed, ${how}`, async () => {
    const page = await as("otto");
    await page.goto(`/dead-letters?reason=bulk_${javaScriptEnabled ? "on" : "off"}`);
    await page.getByRole("link", { name: "Replay these" }).click();
    await page.getByRole("button", { name: "Replay 5" }).click();
    await page.waitForURL(/\/jobs\//);
    await sees(page, "5 of 5");
    await look(page);
    await page.context().close();
  });
  await check(`a mapping is tried, ${how}`, async () => {
    const page = await as("vera");
    await page.goto("/mapping/try");
    await page.getByRole("button", { name: "Try it" }).click();
    await sees(page, "schema: good");
    await look(page);
    await page.context().close();
  });
  await check(`a row of the mapping is changed, compared, put into use and taken back, ${how}`, async () => {
    const page = await as("adam");
    await page.goto("/mapping?destination=acme");
    await page.getByRole("link", { name: "Change a row" }).click();
    await page.getByLabel("Event", { exact: true }).fill("Order Completed");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Source of orderId").selectOption("path");
    await page.getByLabel("Value of orderId").fill("properties.ref");
    await page.getByRole("button", { name: "Write YAML" }).click();
    await sees(page, "other purchase call");
    await page.locator("ins", { hasText: "orderId: properties.ref" }).waitFor();
    await look(page);
    await page.getByRole("button", { name: "Put into use" }).click();
    await sees(page, "The mapping was written");
    await page.getByRole("link", { name: "Revisions" }).click();
    await page.getByRole("button", { name: "Draft of what was before" }).first().click();
    await page.getByRole("button", { name: "Put into use" }).click();
    await sees(page, "The mapping was written");
    await page.context().close();
  });
  await check(`a hold is resumed, ${how}`, async () => {
    const page = await as("otto");
    await page.goto(`/lanes?destination=${javaScriptEnabled ? "acme" : "acme-uk"}`);
    await page.getByRole("button", { name: "Resume now" }).first().click();
    await sees(page, "1 hold ended");
    await page.context().close();
  });
  await check(`a person is erased after a preview, ${how}`, async () => {
    const page = await as("adam");
    await page.goto("/people");
    await page.getByLabel("E-mail").fill("ada@shop.example");
    await page.getByRole("button", { name: "Show what is stored" }).click();
    await sees(page, "ada@shop.example");
    await look(page);
    await page.getByRole("button", { name: "Forget this person" }).click();
    await sees(page, /erasures? (was|were) requested/);
    await page.context().close();
  });
  await check(`a call of unknown outcome is discarded, ${how}`, async () => {
    const page = await as("otto");
    await page.goto(`/unknown-outcomes?reason=unsure_${javaScriptEnabled ? "on" : "off"}`);
    await page.getByRole("rowheader", { name: "Product Viewed" }).last().getByRole("link").click();
    await page.getByRole("button", { name: "Discard" }).click();
    await sees(page, "The call was discarded");
    await page.context().close();
  });
  await check(`an alert is muted, and the mute ended, ${how}`, async () => {
    const page = await as("otto");
    await page.goto("/alerts");
    await page.getByRole("button", { name: "For 2 h" }).first().click();
    await sees(page, "Muted");
    await look(page);
    await page.getByRole("button", { name: "End the mute" }).first().click();
    await sees(page, "The mute has ended");
    await page.context().close();
  });
  await check(`a run of a sync is refused, and its plan approved, ${how}`, async () => {
    const name = `gold-${javaScriptEnabled ? "on" : "off"}`;
    const page = await as("otto");
    await page.goto("/syncs");
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("button", { name: "Dry run" }).click();
    await sees(page, "The run would be refused");
    await look(page);
    await page.getByRole("link", { name: "Back" }).click();
    await begin(page, "Run now", `/syncs/${name}`, page.getByRole("heading", { name: "This run waits for an approval" }));
    await page.context().close();
    const admin = await as("adam");
    await admin.goto(`/syncs/${name}`);
    await look(admin);
    await begin(admin, "Carry out exactly this plan", `/syncs/${name}`, admin.locator(".head .chip.good"));
    await admin.context().close();
  });
  await check(`acts are in the audit log, and a session is ended, ${how}`, async () => {
    const other = await as("udo", { form: true });
    const page = await as("adam");
    await page.goto("/audit");
    await sees(page, "approve a sync");
    await page.goto("/sessions");
    await page.getByRole("row", { name: "udo" }).first().getByRole("button").click();
    await sees(page, "The session was ended");
    await other.goto("/");
    await other.getByLabel("Password").waitFor();
    await page.context().close();
    await other.context().close();
  });
}

await check("pages that a form opens have no serious flaw either", async () => answers.join("\n"));
await check("a live row appears when the page is read again, without scripts", async () => {
  const page = await visit("vera", { javaScriptEnabled: false });
  await page.goto("/live");
  const ids = async () => page.locator("#live tr").evaluateAll((rows) => rows.map((row) => row.id));
  const before = await ids();
  for (let tries = 0; (await ids())[0] === before[0] && tries < 100; tries++) {
    await page.waitForTimeout(100);
    await page.getByRole("link", { name: "Read again" }).click();
  }
  if ((await ids())[0] === before[0]) return "no new row";
  await page.context().close();
});
await check("a live row appears, the view pauses and resumes", async () => {
  const page = await visit("vera");
  await page.goto("/live");
  const first = await page.locator("#live tr").first().getAttribute("id");
  await page.waitForFunction((id) => document.querySelector("#live tr").id !== id, first);
  await page.keyboard.press("p");
  await sees(page, "Paused");
  await page.waitForFunction(() => /[1-9]\d* new/.test(document.getElementById("live-state").textContent));
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator("#live-state.on").waitFor();
  const problem = page.troubles.join("; ");
  await page.context().close();
  return problem;
});
await check("the keyboard opens pages and rows", async () => {
  const page = await visit("vera");
  await page.goto("/");
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  await page.waitForURL(/dead-letters/);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  if ((await page.locator("tr.at").count()) !== 1) return "no row is chosen";
  await page.keyboard.press("?");
  await page.locator("dialog[open]").waitFor();
  await page.context().close();
});

for (const [width, colorScheme] of [[1280, "light"], [390, "dark"]]) {
  const page = await visit("adam", { viewport: { width, height: 844 }, colorScheme });
  const worst = [];
  for (const path of JSON.parse(PATHS)) {
    await page.goto(path, { waitUntil: "load" });
    // Of pages that are alike, one width is enough.
    worst.push(...(await flaws(page, { axe: width >= 1280 || !/acme\/\d|events\/m/.test(path) })));
    await page.evaluate(() => document.querySelectorAll("main details").forEach((each) => (each.open = true)));
  }
  await check(`nothing that a tracker wrote runs, at ${width} px`, async () => page.troubles.join("; "));
  await check(`axe finds nothing serious and every page fits, at ${width} px, ${colorScheme}`, async () => worst.join("\n"));
  await page.context().close();
}

if (SHOTS) {
  const page = await visit("adam", { viewport: { width: 1200, height: 720 } });
  for (const [name, path] of Object.entries(JSON.parse(process.env.SHOWN))) {
    await page.goto(path, { waitUntil: "load" });
    await page.waitForTimeout(400);
    await page.screenshot({ path: `${SHOTS}/console-${name}.png` });
  }
}
await browser.close();
