// What the pages gain with a script: times in the reader's zone, live rows, refreshed numbers, and a keyboard.
// Without it every page works: links, forms and <details>.
"use strict";

document.documentElement.classList.add("scripted");

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
let formatted = { second: NaN, text: "" }; // rows of one second come together

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      const second = Math.floor(at.getTime() / 1000);
      if (second !== formatted.second) formatted = { second, text: local.format(at) };
      time.textContent = formatted.text;
      time.title = time.dateTime;
    }
  }
}
showTimes(document);
addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[datetime]");
  if (time?.title === time?.dateTime && time) time.title = `${full.format(new Date(time.dateTime))}\n${time.dateTime}`;
});

// On a phone the menu is one line: the page that is open is brought into view.
document.querySelector(".side a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A page with data-refresh is read again each so many seconds, while it is visible and nothing in it is being used.
const main = document.getElementById("main");
const every = Number(main.dataset.refresh || 0);
if (every) setInterval(refresh, every * 1000);

async function refresh() {
  const busy = main.contains(document.activeElement) && document.activeElement !== main;
  if (document.hidden || busy || main.querySelector("details[open]") || String(getSelection())) return;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
  } catch {
    return; // the next one may succeed
  }
  if (answer.redirected) location.reload(); // the session has ended
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("main");
  if (!fresh) return;
  fresh.querySelectorAll(".note").forEach((note) => note.remove());
  main.replaceChildren(...fresh.childNodes);
  showTimes(main);
  if (!fresh.dataset.refresh) location.replace(location.pathname); // what was under way is over
}

// Live rows: each message of the stream has rows that the server has made. Its id lets a reconnect go on without a gap.
// The page has the newest rows that fit: a browser pays for each element at every change. Older ones come as it is
// scrolled down, up to a number.
const live = document.getElementById("live");
if (live) follow(live);

function follow(body) {
  const state = document.getElementById("live-state");
  const button = document.getElementById("live-pause");
  const lag = document.getElementById("live-lag");
  const most = Number(body.dataset.most);
  const first = new Set(Array.from(body.children, (row) => row.id)); // what the page came with
  const last = new Map(); // by destination: the newest row that has come
  const held = []; // rows that have come and are not shown: each its HTML, and what it shows when it is opened
  let older = []; // rows that were shown and are not on the page, the newest first
  let paused = false;
  let due = false; // a frame will show what is held
  let below = false; // the page is scrolled down so far that the newest row is not in sight
  let shown = 0; // when rows were shown last
  let rest = 0; // until when the browser is left to other work
  let count = 0; // rows that have come
  let fresh = 0; // of these, since rows were shown last
  let behind = "";
  let source = null;

  function say(kind, text) {
    state.className = `live-state ${kind}`;
    if (state.textContent !== text) state.textContent = text;
  }
  function why() {
    if (paused) return "Paused";
    if (body.querySelector("details[open]")) return "Paused while a row is open";
    return below ? "Paused while you read below" : "";
  }
  function tell() {
    const reason = why();
    say(reason ? "" : "on", reason ? `${reason}, ${fresh.toLocaleString()} new` : "Live");
  }
  function tellCount() {
    lag.textContent = count ? `${behind} ${count.toLocaleString()} since the page was opened.` : behind;
  }
  // After a break in the middle of a batch, what came before it comes again. Rows of one destination come in order.
  function isNew([html]) {
    const [, id, destination, ms, number] = /^<tr id="((.*?):(\d+)-(\d+))"/.exec(html);
    const [lastMs, lastNumber] = last.get(destination) ?? [0, 0];
    if (first.has(id) || ms < lastMs || (Number(ms) === lastMs && number <= lastNumber)) return false;
    last.set(destination, [Number(ms), Number(number)]);
    return true;
  }
  function hold(rows) {
    const come = rows.filter(isNew);
    held.push(...come);
    held.splice(0, held.length - most);
    count += come.length;
    fresh += come.length;
  }
  function made(rows) {
    const template = document.createElement("template");
    template.innerHTML = rows.map(([html]) => html).join("");
    showTimes(template.content);
    return Array.from(template.content.children, (row, at) => Object.assign(row, { entry: rows[at] }));
  }
  function show() {
    due = false;
    if (document.hidden || why() || !held.length) return;
    const begun = performance.now();
    const fit = Math.max(10, Math.ceil(innerHeight / (body.firstElementChild?.offsetHeight || 36)));
    const rows = held.splice(0).reverse();
    const newest = made(rows.slice(0, fit));
    // To follow a stream of rows with colours would only cost the browser time.
    if (fresh < 10 && begun - shown > 500) for (const row of newest) row.classList.add("fresh");
    shown = begun;
    fresh = 0;
    const pushed = [...body.children].slice(fit - newest.length);
    for (const row of pushed) row.remove();
    body.prepend(...newest);
    older = [...rows.slice(fit), ...pushed.map((row) => row.entry ?? [row.outerHTML, ""]), ...older].slice(0, most - fit);
    body.dataset.count = count;
    tellCount();
    document.getElementById("live-empty")?.remove();
    setTimeout(() => (rest = 2 * performance.now() - begun)); // after the frame: as much time is left to others
  }
  function fill() {
    below = body.getBoundingClientRect().top < 0;
    if (below && older.length && scrollY + 2 * innerHeight > document.documentElement.scrollHeight) {
      body.append(...made(older.splice(0, 60)));
    }
  }
  function soon() {
    tell();
    if (due || document.hidden || why() || !held.length) return;
    due = true;
    setTimeout(() => requestAnimationFrame(show), rest - performance.now());
  }
  function open() {
    const address = new URL(body.dataset.stream, location.href);
    address.searchParams.set("after", body.dataset.after);
    source = new EventSource(address);
    source.addEventListener("open", tell);
    source.addEventListener("error", () => say("off", "Disconnected; connecting again …"));
    source.addEventListener("rows", (event) => {
      body.dataset.after = event.lastEventId;
      hold(JSON.parse(event.data));
      soon();
    });
    source.addEventListener("state", (event) => {
      behind = event.data;
      if (!due) tellCount();
    });
  }
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Resume" : "Pause";
    soon();
  });
  body.addEventListener(
    "toggle",
    ({ target }) => {
      const facts = target.closest("tr").entry?.[1];
      if (facts && target.open && !target.querySelector("dl")) target.insertAdjacentHTML("beforeend", facts);
      soon();
    },
    true,
  );
  document.addEventListener("visibilitychange", soon);
  addEventListener("scroll", () => (fill(), soon()), { passive: true });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && open());
  open();
}

// Selects of filters act at once; the button is for readers without a script.
for (const select of document.querySelectorAll("form.filters select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// The keyboard. Keys that are typed into a field are left alone.
let prefix = "";
let row = -1;
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (prefix === "g") {
    prefix = "";
    document.querySelector(`.side a[data-key="${CSS.escape(event.key)}"]`)?.click();
    return;
  }
  switch (event.key) {
    case "g":
      prefix = "g";
      setTimeout(() => (prefix = ""), 1500);
      break;
    case "?":
      document.getElementById("help").showModal();
      break;
    case "/": {
      const field = main.querySelector("form.filters input:not([type=hidden]), input[type=search]");
      if (field) {
        event.preventDefault();
        field.focus();
        field.select();
      }
      break;
    }
    case "j":
    case "k":
      move(event.key === "j" ? 1 : -1);
      break;
    case "Enter":
      if (event.target === document.body || event.target === main) {
        document.querySelector("tr.at a, tr.at summary")?.click();
      }
      break;
    case "p":
      document.getElementById("live-pause")?.click();
      break;
  }
});

function move(by) {
  const rows = [...main.querySelectorAll("tbody > tr")];
  if (!rows.length) return;
  rows[row]?.classList.remove("at");
  row = Math.min(Math.max(row + by, 0), rows.length - 1);
  rows[row].classList.add("at");
  rows[row].scrollIntoView({ block: "nearest" });
}
