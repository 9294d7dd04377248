// The page at "/": asks the API with the reader's own key and shows what it answers, as text and never as markup.

const KEY = "c360-key";
const FIND = { id: "Customer id", email: "E-mail address", phone: "Telephone number, with country code" };
const TIMES = { orders: "ordered_at", deliveries: "shipped_at", events: "event_timestamp", consents: "updated_at",
  alerts: "raised_at" };
const GROUPS = [
  ["Who", ["customer_id", "first_name", "last_name", "email", "phone", "birth_date", "language", "street", "postal_code",
    "city", "region", "country_code", "registered_at", "acquisition_channel", "consent_marketing_email",
    "consent_marketing_sms", "consent_profiling", "consent_third_party"]],
  ["Value", ["revenue_amount", "orders", "average_order_value", "cancelled_orders", "returned_amount", "first_order_at",
    "last_order_at", "recency_days", "last_order_id", "last_order_status", "favourite_category", "captured_amount",
    "refunded_amount"]],
  ["Segment and risk", ["segment", "loyalty_tier", "rfm_score", "segment_orders", "segment_spend", "risk_level",
    "risk_score", "return_rate", "cancellation_rate", "failed_payment_rate", "failed_payments", "payments"]],
  ["Deliveries", ["shipments", "delivered_shipments", "open_shipments", "late_shipments", "on_time_rate",
    "last_delivered_at"]],
  ["Web", ["web_sessions", "web_events", "product_views", "carts", "support_tickets", "first_seen_at", "last_seen_at"]],
];
const LIVE = { last_event: "Last seen", last_purchase: "Last purchase", last_payment: "Last payment" };
const LIVE_EVERY_MS = 5000; // each look is on record
const MOST_ORDERS = 2000; // of which the chart is drawn

const get = (id) => document.getElementById(id);
const state = { id: null, releases: [], newest: null, columns: {}, published: null };
let asking = new AbortController(); // ended by whatever is asked next

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `The API answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

// ---- asking

async function ask(path, { query = {}, body, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  const headers = key ? { "x-api-key": key } : {};
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    // Nothing of a customer stays in the browser's cache.
    answer = await fetch(`${path}${parameters.size ? "?" : ""}${parameters}`, {
      method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store", signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { detail: "The API cannot be reached." });
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, found);
  return found;
}

/** Run what the reader wants; a refusal is told as the API puts it. What was asked before no longer counts. */
async function doing(says, work) {
  asking.abort();
  const mine = (asking = new AbortController());
  get("problem").hidden = true;
  say(says);
  document.body.setAttribute("aria-busy", "true");
  try {
    await work(mine.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    say("");
    tell(error);
  } finally {
    if (asking === mine) document.body.removeAttribute("aria-busy");
  }
}

function say(text) {
  get("status").textContent = text;
}

function tell(error) {
  const errors = (error.problem?.errors || []).map((each) => ` ${each.where.split(".").pop()}: ${each.why}.`);
  get("problem").textContent = [error.message, ...errors].join("");
  get("problem").hidden = false;
  if (error.status === 401) {
    forget();
    get("key").focus();
  }
}

// ---- making elements

function make(name, options = {}, ...children) {
  const { text, ...attributes } = options;
  const svg = ["svg", "rect", "line", "text", "title", "desc", "g"].includes(name);
  const found = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
  if (text !== undefined) found.textContent = text;
  found.append(...children);
  return found;
}

const words = (name) => name.replace(/_(at|amount)$/, "").replace("rfm", "RFM").replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
const moment = (text) => (text ? `${text.slice(0, 16).replace("T", " ")} UTC` : "—");
const money = (cents) => (cents / 100).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const cents = (text) => Math.round(Number(text || 0) * 100);

function plain(name, value) {
  if (value === null || value === undefined) return "—";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (/_(rate)$/.test(name)) return `${(Number(value) * 100).toFixed(1)} %`;
  if (/(_amount|_spend|_value|_cost)$/.test(name)) return `${money(cents(value))} USD`;
  if (/^\d{4}-\d\d-\d\dT/.test(value)) return moment(value);
  return String(value);
}

/** A value as it is: whole, in part (masked), as a token, withheld (not in the answer), or not known. */
function shown(name, row) {
  if (!(name in row)) return make("span", { class: "withheld", text: "withheld" });
  const value = row[name];
  if (value === null) return make("span", { class: "none", title: "not known", text: "—" });
  const text = typeof value === "string" ? value : "";
  const hidden = text.includes("***") || (name === "birth_date" && /^\d{4}$/.test(text));
  if (hidden && state.columns[name]?.["x-classification"] !== "none") {
    return make("span", { class: "masked", "data-is": "masked", text });
  }
  if (/^t_[a-z2-7]{16}$/.test(text)) return make("span", { class: "token", "data-is": "token", text });
  const of = { risk_level: { high: "bad", low: "good" }, segment: { Churned: "bad", "At-Risk": "bad", VIP: "good" } };
  return make("span", { class: of[name]?.[value] || "", text: plain(name, value) });
}

function pairs(names, row, newest) {
  const list = make("dl");
  // Surrogate keys are of no use to a reader, and too large for numbers of JavaScript.
  for (const name of names.filter((each) => !each.endsWith("_sk"))) {
    const value = make("dd", {}, shown(name, row));
    if (newest && name in newest && newest[name] !== row[name]) {
      value.append(make("span", { class: "now", text: `now ${plain(name, newest[name])}` }));
    }
    list.append(make("dt", { text: words(name), title: state.columns[name]?.description || "" }), value);
  }
  return list;
}

// ---- the customer

async function find(by, what) {
  await doing("Looking …", async (signal) => {
    get("matches").hidden = get("customer").hidden = true;
    if (by === "id") return open(what, signal);
    let found;
    try {
      found = (await ask("v1/customers/lookup", { body: { [by]: what }, signal })).data;
    } catch (error) {
      if (error.status === 403) permitLookup(false);
      throw error;
    }
    if (found.length === 1) return open(found[0].customer_id, signal);
    get("matches").hidden = !found.length;
    get("matches").querySelector("ul").replaceChildren(...found.map((row) => {
      const link = make("a", { href: `#id=${row.customer_id}`, text: row.customer_id });
      return make("li", {}, link, ` ${row.full_name || ""} ${row.country_code || ""}`);
    }));
    say(found.length ? `${found.length} customers have it.` : "Nobody has it, or you may not see them.");
  });
}

async function open(id, signal) {
  state.id = null;
  const path = `v1/customers/${encodeURIComponent(id)}`;
  const [answer, releases] = await Promise.all([
    ask(path, { signal }),
    // Who may not see the releases still sees the customer.
    ask("v1/releases", { signal }).then((all) => all.data, (error) => (error instanceof Refused ? [] : Promise.reject(error))),
    describe(),
  ]);
  state.id = answer.data.customer_id.startsWith("t_") ? id : answer.data.customer_id;
  state.newest = answer.data;
  state.releases = releases.reverse();
  const last = state.releases.length - 1;
  Object.assign(get("moment"), { max: Math.max(last, 0), value: Math.max(last, 0) });
  get("slider").hidden = last < 1;
  get("slider-note").textContent = last < 1 ? "No other release is kept, so there is no past to move to yet." : "";
  get("oldest").textContent = moment(state.releases[0]?.published_at);
  get("newest").textContent = moment(state.releases[last]?.published_at);
  if (location.hash !== `#id=${id}`) history.pushState(null, "", `#id=${encodeURIComponent(id)}`);
  await show(answer, signal);
  get("customer").focus({ preventScroll: true });
}

/** What the contracts say of the columns: their meaning and classification. */
async function describe() {
  if (Object.keys(state.columns).length) return;
  const found = await ask("v1/openapi.json").catch(() => null);
  state.columns = found?.components.schemas.Customer.properties || {};
}

/** The moment that the slider stands at; nothing for now. */
function asOf() {
  const at = Number(get("moment").value);
  return at < state.releases.length - 1 ? state.releases[at].published_at : undefined;
}

async function travel() {
  await doing("Going there …", async (signal) => {
    const answer = await ask(`v1/customers/${encodeURIComponent(state.id)}`, { query: { as_of: asOf() }, signal });
    await show(answer, signal);
  });
}

async function show({ data: row, release }, signal) {
  const past = asOf() !== undefined;
  const rest = Object.keys(state.columns).filter((name) => !GROUPS.some(([, names]) => names.includes(name)));
  const groups = GROUPS.map(([title, names]) => [title, names]);
  groups.push(["Further", [...new Set([...rest, ...Object.keys(row)])].filter(
    (name) => !GROUPS.some(([, names]) => names.includes(name)) && name !== "full_name")]);
  get("name").textContent = row.full_name || row.customer_id;
  get("groups").replaceChildren(...groups.map(([title, names]) => make("section", { "aria-label": title },
    make("h3", { text: title }), pairs(names, row, past ? state.newest : null))));
  state.published = release;
  get("time").classList.toggle("past", past);
  aged();
  get("customer").hidden = false;
  await Promise.all([revenue(signal), story(signal), segments(signal), live(signal)]);
  say(`${row.customer_id}${past ? ` as of ${moment(release.published_at)}` : ""} is shown.`);
}

function aged() {
  if (!state.published) return;
  const { as_of: data, published_at: published, id } = state.published;
  const minutes = Math.round((Date.now() - Date.parse(published)) / 60000);
  const [count, unit] = minutes < 90 ? [minutes, "minute"] : minutes < 2880 ? [Math.round(minutes / 60), "hour"]
    : [Math.round(minutes / 1440), "day"];
  const age = new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-count, unit);
  const text = `${asOf() ? "The past: release" : "Now: release"} of ${moment(published)}, ${age}; data as of ${moment(data)}.`;
  get("release").textContent = text;
  get("release").title = `Release ${id}`;
  get("moment").setAttribute("aria-valuetext", `${moment(published)}, ${age}`);
}

// ---- revenue by month

async function revenue(signal) {
  const orders = [];
  let cursor;
  do {
    const page = await ask(`v1/customers/${encodeURIComponent(state.id)}/orders`, {
      query: { as_of: asOf(), limit: "200", cursor }, signal });
    orders.push(...page.data);
    cursor = page.next;
  } while (cursor && orders.length < MOST_ORDERS);
  const months = new Map();
  for (const order of orders) {
    if (!order.ordered_at) continue;
    const month = order.ordered_at.slice(0, 7);
    const [count, sum] = months.get(month) || [0, 0];
    months.set(month, [count + 1, sum + cents(order.revenue_amount)]);
  }
  const rows = filled(months);
  const total = rows.reduce((sum, [, , each]) => sum + each, 0);
  get("value-note").textContent = rows.length
    ? `${money(total)} USD in ${orders.length} orders from ${rows[0][0]} to ${rows.at(-1)[0]}${
      cursor ? `; older ones than the newest ${orders.length} are left out` : ""}.`
    : "No orders by then.";
  get("chart").replaceChildren(...(rows.length ? [chart(rows)] : []));
  get("value-table").hidden = !rows.length;
  get("value-table").querySelector("tbody").replaceChildren(...rows.map(([month, count, sum]) => make("tr", {},
    make("th", { scope: "row", text: month }), make("td", { text: count }), make("td", { text: money(sum) }))));
}

/** [month, orders, cents] of every month from the first to the last, also of those without an order. */
function filled(months) {
  const names = [...months.keys()].sort();
  const found = [];
  if (!names.length) return found;
  let [year, month] = names[0].split("-").map(Number);
  for (let name = names[0]; name <= names.at(-1) && found.length < 1200;) {
    found.push([name, ...(months.get(name) || [0, 0])]);
    [year, month] = month === 12 ? [year + 1, 1] : [year, month + 1];
    name = `${String(year).padStart(4, "0")}-${String(month).padStart(2, "0")}`;
  }
  return found;
}

function chart(rows) {
  const [step, high, left, top] = [Math.max(26, Math.min(70, 640 / rows.length)), 140, 62, 8];
  const most = Math.max(...rows.map((row) => row[2]), 0);
  const least = Math.min(...rows.map((row) => row[2]), 0);
  const y = (value) => top + high * (1 - (value - least) / (most - least || 1));
  const width = left + rows.length * step + 8;
  const drawing = make("svg", { viewBox: `0 0 ${width} ${high + 34}`, role: "img", "aria-labelledby": "chart-title chart-desc" });
  drawing.style.minWidth = `${Math.min(width, left + rows.length * 26)}px`;
  drawing.style.maxWidth = `${width * 1.4}px`;
  const best = rows.reduce((one, other) => (other[2] > one[2] ? other : one));
  drawing.append(make("title", { id: "chart-title", text: `Revenue by month, ${rows.length} months` }),
    make("desc", { id: "chart-desc", text: `Highest in ${best[0]} with ${money(best[2])} USD. The table below has all months.` }));
  for (const value of new Set([most, (most + least) / 2, 0, least])) {
    drawing.append(make("line", { x1: left, x2: width, y1: y(value), y2: y(value) }),
      make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end", text: Math.round(value / 100).toLocaleString("en") }));
  }
  const every = Math.ceil(rows.length * 1.0 / Math.floor((width - left) / 52));
  rows.forEach(([month, count, sum], at) => {
    const x = left + at * step;
    const bar = make("rect", { x: x + step * 0.15, width: step * 0.7, y: Math.min(y(sum), y(0)), height: Math.abs(y(sum) - y(0)), rx: 1.5 });
    bar.append(make("title", { text: `${month}: ${money(sum)} USD, ${count} orders` }));
    drawing.append(bar);
    if (at % every === 0) drawing.append(make("text", { x: x + step / 2, y: high + 26, "text-anchor": "middle", text: month }));
  });
  return drawing;
}

// ---- segments, and this moment

async function segments(signal) {
  const spells = await ask(`v1/customers/${encodeURIComponent(state.id)}/segment-history`, {
    query: { as_of: asOf(), limit: "20" }, signal });
  get("segments").replaceChildren(...spells.data.map(({ segment, since, until }) => make("li", {
    text: `${segment}${since ? ` from ${moment(since)}` : ""}${until ? ` to ${moment(until)}` : ", still"}` })));
}

/** What the streams say on top of the release; hidden in the past and where no stream has ever run. */
async function live(signal) {
  const id = state.id;
  const found = !id || asOf() !== undefined || document.hidden ? null
    : await ask(`v1/customers/${encodeURIComponent(id)}/live`, { signal }).catch(() => null);
  if (id !== state.id) return;
  get("live").hidden = !found || found.live.state === "absent";
  if (get("live").hidden) return;
  const { state: how, current, unread } = found.live;
  get("live-note").textContent = {
    live: `Live: whatever had arrived by ${current?.slice(11, 19)} UTC is shown.`,
    behind: `Late: ${unread} messages wait to be read.`,
    stopped: `Not live: nothing was read since ${moment(current)}.`,
  }[how] || "";
  get("live").classList.toggle("old", how !== "live");
  get("live-parts").replaceChildren(...Object.entries(LIVE).flatMap(([name, title]) => {
    const part = found.data.parts[name];
    if (!part) return [];
    const { record, source, event_time: at } = part;
    const says = [words(record.event_type ?? record.status ?? ""), record.order_id, record.product_id,
      record.amount && plain("net_amount", record.amount), record.device].filter(Boolean).join(", ");
    const from = source === "release" ? make("span", { class: "now", text: "by the release" }) : "";
    return [make("dt", { text: title }), make("dd", {}, make("time", { datetime: at,
      text: `${at.slice(0, 19).replace("T", " ")} UTC` }), ` ${says} `, from)];
  }));
}

// ---- what happened

async function story(signal, cursor) {
  const part = document.querySelector("[name=part]:checked").value;
  const page = await ask(`v1/customers/${encodeURIComponent(state.id)}/${part}`, {
    query: { as_of: asOf(), limit: "20", cursor }, signal });
  const items = page.data.map((each) =>
    told(part === "timeline" ? each : { at: each[TIMES[part]], kind: part, record: each }));
  if (!cursor) get("story").replaceChildren();
  get("story").append(...items);
  if (!get("story").childElementCount) get("story").append(make("li", { class: "soft", text: "Nothing." }));
  get("more").hidden = !page.next;
  get("more").onclick = () => doing("Reading more …", async (next) => {
    await story(next, page.next);
    say(`${get("story").childElementCount} entries are shown.`);
    items.at(-1)?.nextElementSibling?.querySelector("summary")?.focus();
  });
}

function told({ at, kind, record }) {
  const late = record.is_on_time === false ? ", late" : "";
  const text = {
    orders: () => `${record.order_id}: ${record.order_status ?? "—"}, ${plain("net_amount", record.net_amount)}, ${record.order_items ?? "—"} lines, ${record.sales_channel ?? "—"}`,
    deliveries: () => `${record.shipment_id}: ${record.status ?? "—"}${late}, ${record.carrier ?? "—"} ${record.service_level ?? ""}`,
    events: () => [words(record.event_type ?? "—"), record.product_id, record.device].filter(Boolean).join(", "),
    consents: () => `${words(record.purpose)}: ${record.granted ? "given" : "withdrawn or refused"}`,
    alerts: () => `${record.order_id}: ${words(record.rule)}, ${record.severity}, ${plain("amount", record.amount)}`,
  }[kind]();
  const names = { orders: "order", deliveries: "delivery", events: "event", consents: "consent",
    alerts: "alert" };
  const time = at ? make("time", { datetime: at, text: moment(at) }) : make("time", { text: "not yet" });
  const summary = make("summary", {}, time, make("span", { class: "kind", text: names[kind] }), text);
  return make("li", {}, make("details", {}, summary, pairs(Object.keys(record), record)));
}

// ---- key and forms

function forget() {
  asking.abort();
  sessionStorage.removeItem(KEY);
  Object.assign(state, { id: null, newest: null, releases: [], published: null });
  get("customer").hidden = get("matches").hidden = true;
  for (const id of ["groups", "story", "chart", "name"]) get(id).replaceChildren();
  get("value-table").querySelector("tbody").replaceChildren();
  keyed();
}

function keyed() {
  const key = sessionStorage.getItem(KEY);
  get("key").value = "";
  get("key-ask").hidden = Boolean(key);
  get("forget").hidden = !key;
  get("key-note").textContent = key ? `The key …${key.slice(-4)} is in use, in this tab until it is closed.`
    : "Kept in this tab until it is closed.";
  permitLookup(true);
}

function permitLookup(may) {
  for (const by of document.querySelectorAll("[name=by]:not([value=id])")) by.disabled = !may;
  get("by-note").textContent = may ? "" : "Your role looks customers up by id alone.";
  if (!may) {
    get("what").value = "";
    document.querySelector("[name=by][value=id]").checked = true;
    get("what-label").textContent = FIND.id;
  }
}

get("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = get("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) return tell(new Error("An API key has letters, digits and underscores only."));
  forget();
  sessionStorage.setItem(KEY, key);
  get("problem").hidden = true;
  keyed();
  say("The key is used from now on.");
  get("what").focus();
  fromAddress();
});
get("forget").addEventListener("click", () => {
  forget();
  say("The key is forgotten.");
  get("key").focus();
});
get("find-form").addEventListener("submit", (event) => {
  event.preventDefault();
  find(document.querySelector("[name=by]:checked").value, get("what").value.trim());
});
for (const by of document.querySelectorAll("[name=by]")) {
  by.addEventListener("change", () => (get("what-label").textContent = FIND[by.value]));
}
for (const part of document.querySelectorAll("[name=part]")) {
  part.addEventListener("change", () => doing("Reading …", async (signal) => {
    await story(signal);
    say(`${get("story").childElementCount} entries are shown.`);
  }));
}
let waiting;
get("moment").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(travel, 150); // the slider is still moving
});
setInterval(aged, 30000);
setInterval(live, LIVE_EVERY_MS);

function fromAddress() {
  const id = new URLSearchParams(location.hash.slice(1)).get("id");
  if (!id || id === state.id) return;
  get("what").value = id;
  document.querySelector("[name=by][value=id]").checked = true;
  get("what-label").textContent = FIND.id;
  if (sessionStorage.getItem(KEY)) find("id", id);
}
addEventListener("hashchange", fromAddress);
keyed();
if (!sessionStorage.getItem(KEY)) get("key").focus();
fromAddress();
