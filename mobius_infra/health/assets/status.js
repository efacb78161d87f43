// The status page. It gets the whole as JSON, then its changes, and draws what is not what it was.
// Whatever comes from outside is put in as text, never as HTML.
"use strict";

let doc = null;
let offset = 0; // what the server's clock is ahead of this one, in seconds: this one may be wrong
let lostAt = null;
let filter = "";
const opened = new Map(); // of the parts that can be folded: whether they are open
const charts = new Map();
const base = location.pathname.replace(/\/status\/?$/, "/"); // the application may be mounted somewhere
const $ = (id) => document.getElementById(id);
const now = () => Date.now() / 1000 + offset;

function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "path", "text", "circle", "g", "title"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// Words

const plural = (number, one, many = one + "s") => `${number} ${number === 1 ? one : many}`;

function ago(at) {
  const seconds = Math.max(0, now() - at);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

function duration(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(2)} G`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (size >= 10000 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(size < 0.1 ? 4 : size < 10 ? 2 : 1);
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), 4);
  return `${(value / 1000 ** power).toFixed(power && value / 1000 ** power < 10 ? 1 : 0)} ${units[power]}`;
}

const percent = (share) =>
  share === null ? "–" : share === 1 ? "100 %" : `${Number((Math.floor(share * 1e5) / 1e3).toFixed(share > 0.99 ? 3 : 1))} %`;
const unit = (name) => (/seconds$/.test(name) ? duration : /bytes$/.test(name) ? bytes : /(rate|share|ratio)$/.test(name) ? percent : number);
const words = (name) => String(name).replaceAll("_", " ").replace(/ (seconds|bytes)$/, "");
const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);
const TONES = {
  closed: "up", shared: "up", healthy: "up", ok: "up", half_open: "degraded", recovering: "degraded", local: "degraded",
  open: "down", isolated: "down", failed: "down",
};
const tone = (state) => (["up", "degraded", "down"].includes(state) ? state : TONES[state] || "unknown");
const chip = (state) => h("span", { class: `state ${tone(state)}` }, words(state));

function head(title, ...rest) {
  return h("div", { class: "head" }, h("h2", {}, title), ...rest);
}

function folded(key, label, open, ...children) {
  const isOpen = opened.has(key) ? opened.get(key) : open;
  const details = h("details", { open: isOpen, class: "first" }, h("summary", { id: `fold-${key}` }, label), ...children);
  details.addEventListener("toggle", () => opened.set(key, details.open));
  return details;
}

// Sections

function drawBanner() {
  const { checks } = doc.health;
  const state = checks.length ? doc.health.state : "unknown";
  const roots = checks.filter((check) => check.state === "down" && !check.consequence_of.length);
  const weak = checks.filter((check) => check.state === "degraded");
  const names = (found) => found.slice(0, 3).map((check) => check.name).join(", ") + (found.length > 3 ? ` and ${found.length - 3} more` : "");
  const blind = checks.filter((check) => check.state === "unknown");
  let said = { up: "All systems are up", degraded: "Some things do not work well", down: "There is an outage", unknown: "Not everything is known yet" }[state];
  if (!checks.length) said = "No checks are declared";
  const more = [];
  if (roots.length) more.push(`Down: ${names(roots)}`);
  if (weak.length) more.push(`Degraded: ${names(weak)}`);
  if (blind.length) more.push(`Not known: ${names(blind)}`);
  if (!more.length && checks.length) more.push(`${plural(checks.length, "check")} passed`);
  if (!checks.length) more.push("Declare some with monitor.check(…), and they are shown here.");
  $("banner").className = `banner ${state}`;
  $("banner").replaceChildren(h("strong", {}, said), h("p", { class: "soft" }, more.join(" · ")));
  $("title").textContent = doc.title;
  document.title = `${state === "up" ? "" : state.toUpperCase() + " · "}${doc.title}`;
}

function bars(days, label) {
  const width = 4, gap = 1.5;
  const shown = window.innerWidth < 640 ? days.slice(-45) : days;
  const all = shown.map(([up, down, unobserved, planned], index) => {
    const seen = up + down;
    const share = seen ? down / seen : null;
    const kind = share === null ? (planned ? "planned" : "unknown") : share === 0 ? "up" : share < 0.01 ? "degraded" : "down";
    const day = new Date((now() - (shown.length - 1 - index) * 86400) * 1000).toISOString().slice(0, 10);
    const text = share === null ? (planned ? "maintenance" : "not observed") : `${percent(up / seen)} up${down ? `, ${duration(down)} down` : ""}`;
    return h("rect", { class: `bar-${kind}`, x: index * (width + gap), y: 0, width, height: 28, rx: 1.2 }, h("title", {}, `${day}: ${text}`));
  });
  return h("svg", { viewBox: `0 0 ${shown.length * (width + gap) - gap} 28`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...all);
}

function check(found, uptimes) {
  const uptime = uptimes.get(found.name);
  const month = uptime ? uptime.windows["30d"] : null;
  const label = month ? `${found.name}: ${percent(month.share)} up in 30 days` : "";
  const history = uptime
    ? h("div", { class: "history" }, bars(uptime.days, label), h("span", { class: "figure", title: "30 days" }, percent(month.share)))
    : h("div", { class: "history" });
  const why = [];
  if (found.consequence_of.length) why.push(`because of ${found.consequence_of.join(", ")}`);
  if (found.reason) why.push(found.reason);
  if (found.flapping) why.push("flapping");
  if (found.state !== "up" && found.since) why.push(`since ${ago(found.since)}`);
  const tags = [found.critical ? null : "optional", found.kind === "readiness" ? null : found.kind].filter(Boolean);
  const tag = tags.length ? h("span", { class: "tag" }, tags.join(", ")) : null;
  return h("div", { class: "check" }, h("span", { class: "name" }, found.name, tag), history,
    h("span", { class: `state ${found.state}`, title: found.checked_at ? `looked at ${ago(found.checked_at)}, took ${duration(found.took)}` : "" }, found.state),
    why.length ? h("p", { class: "why" }, why.join(" · ")) : null);
}

function drawChecks() {
  const all = doc.health.checks;
  const uptimes = new Map((doc.uptime ? doc.uptime.parts : []).map((part) => [part.part, part]));
  if (!all.length) return $("checks").replaceChildren();
  const wanted = all.filter((found) => found.name.toLowerCase().includes(filter));
  const order = { down: 0, unknown: 1, degraded: 2, up: 3 };
  wanted.sort((a, b) => order[a.state] - order[b.state] || Boolean(a.consequence_of.length) - Boolean(b.consequence_of.length));
  const ill = wanted.filter((found) => found.state !== "up");
  const well = wanted.filter((found) => found.state === "up");
  const rows = h("div", { class: "card rows" }, ...ill.map((found) => check(found, uptimes)));
  if (well.length > 12 && !filter) {
    const shown = folded("well", `${plural(well.length, "check")} up`, false, h("div", { class: "rows" }, ...well.map((found) => check(found, uptimes))));
    shown.style.padding = "0";
    rows.append(shown);
  } else rows.append(...well.map((found) => check(found, uptimes)));
  if (!wanted.length) rows.append(h("p", { class: "empty" }, `No check is called like “${filter}”.`));
  const search = all.length > 12
    ? h("input", { id: "filter", type: "search", placeholder: "Filter checks", "aria-label": "Filter checks", value: filter,
        oninput: (event) => { filter = event.target.value.toLowerCase(); keepingFocus(drawChecks); } })
    : h("span", { class: "soft" }, doc.uptime ? `last ${window.innerWidth < 640 ? 45 : 90} days` : "");
  $("checks").replaceChildren(head("Checks", search), rows);
}

function drawGraph() {
  const checks = new Map(doc.health.checks.map((found) => [found.name, found]));
  const edges = doc.health.checks.flatMap((found) => [
    ...found.depends_on.map((to) => [found.name, to, "needs"]), ...found.uses.map((to) => [found.name, to, "uses"]),
  ]).filter(([, to]) => checks.has(to));
  if (!edges.length) return $("graph").replaceChildren();
  const nodes = new Set(edges.flatMap(([from, to]) => [from, to]));
  const depth = new Map();
  const depthOf = (name) => {
    if (!depth.has(name)) {
      depth.set(name, 0);
      const below = edges.filter(([from]) => from === name).map(([, to]) => depthOf(to));
      depth.set(name, below.length ? Math.max(...below) + 1 : 0);
    }
    return depth.get(name);
  };
  nodes.forEach(depthOf);
  const layers = [];
  for (const name of nodes) (layers[depth.get(name)] ||= []).push(name);
  layers.reverse(); // what depends on others is at the top
  const across = 190, down = 88, box = { width: 164, height: 38 };
  const most = Math.max(...layers.map((layer) => layer.length));
  const at = new Map();
  layers.forEach((layer, y) => layer.forEach((name, x) => at.set(name, { x: (x + (most - layer.length) / 2) * across + 12, y: y * down + 10 })));
  const lines = edges.map(([from, to, kind]) => {
    const a = at.get(from), b = at.get(to);
    const x1 = a.x + box.width / 2, y1 = a.y + box.height, x2 = b.x + box.width / 2, y2 = b.y;
    return h("path", { class: kind, d: `M${x1} ${y1} C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}` });
  });
  const boxes = [...nodes].map((name) => {
    const { x, y } = at.get(name);
    const short = name.length > 18 ? name.slice(0, 17) + "…" : name;
    return h("g", {}, h("rect", { x, y, width: box.width, height: box.height, rx: 8 }), h("circle", { class: checks.get(name).state, cx: x + 17, cy: y + 19, r: 4.5 }),
      h("text", { x: x + 31, y: y + 23.5 }, short), h("title", {}, `${name}: ${checks.get(name).state}`));
  });
  const width = most * across, height = layers.length * down - 30;
  const label = `What depends on what: ${edges.map(([from, to, kind]) => `${from} ${kind} ${to}`).join(", ")}`;
  const svg = h("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...lines, ...boxes);
  $("graph").replaceChildren(head("Dependencies", h("span", { class: "soft" }, "solid: needs · dashed: uses")), h("div", { class: "card graph scroll" }, svg));
}

function drawCharts() {
  const names = Object.keys(doc.series || {});
  if (!names.length) { charts.clear(); return $("charts").replaceChildren(); }
  if (names.length !== charts.size || names.some((name) => !charts.has(name))) {
    charts.clear();
    const grid = h("div", { class: "grid" });
    $("charts").replaceChildren(head("The last hour"), grid);
    for (const name of names) {
      const shown = h("span", { class: "now" });
      const place = h("div", { role: "img", "aria-label": `${words(name)} over time` });
      grid.append(h("div", { class: "card chart" }, h("h3", { class: "soft" }, words(name)), shown, place));
      charts.set(name, { shown, place, plot: null });
    }
  }
  for (const [name, chart] of charts) drawChart(name, chart);
}

function drawChart(name, chart) {
  const points = doc.series[name];
  const data = [points.map((point) => point[0]), points.map((point) => point[1])];
  const last = points.length ? points[points.length - 1][1] : null;
  const said = unit(name);
  chart.shown.textContent = last === null ? "–" : said(last);
  if (chart.plot) return chart.plot.setData(data);
  const style = getComputedStyle(document.documentElement);
  const color = (variable) => style.getPropertyValue(variable).trim();
  const axis = { stroke: color("--soft"), font: "11px system-ui", grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  chart.plot = new uPlot({
    width: chart.place.clientWidth || 280, height: 130, cursor: { y: false }, legend: { show: false }, padding: [8, 0, 0, 0],
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
    series: [{}, { stroke: color("--accent"), fill: color("--accent") + "1f", width: 1.6, points: { show: false } }],
    axes: [{ ...axis, space: 60, size: 26, values: (plot, all) => all.map((at) => clock(at).slice(0, plot.scales.x.max - plot.scales.x.min < 600 ? 8 : 5)) }, { ...axis, size: 50, space: 30, values: (_, all) => all.map(said) }],
  }, data, chart.place);
}

function redrawCharts() {
  for (const chart of charts.values()) { if (chart.plot) chart.plot.destroy(); chart.plot = null; }
  if (doc) for (const [name, chart] of charts) drawChart(name, chart);
}

function drawUptime() {
  if (!doc.uptime || !doc.uptime.parts.length) return $("uptime").replaceChildren();
  const names = Object.keys(doc.uptime.parts[0].windows);
  const figure = (found) => h("td", { title: found.lower === null ? "" : `between ${percent(found.lower)} and ${percent(found.upper)}` }, percent(found.share));
  const row = ({ part, windows, budget }) => {
    const left = Math.max(0, Math.min(1, budget.left));
    const meter = h("span", { class: `meter ${left <= 0 ? "spent" : left < 0.25 ? "low" : ""}` }, h("i"));
    meter.firstChild.style.width = `${left * 100}%`;
    const said = budget.left < 0 ? `over by ${duration(budget.spent - budget.allowed)}` : `${duration(budget.allowed - budget.spent)} left`;
    return h("tr", {}, h("th", { scope: "row" }, part || "The whole"), ...names.map((name) => figure(windows[name])), h("td", {}, meter, said));
  };
  const rows = doc.uptime.parts.map(row);
  const tableOf = (some) => h("table", { class: "figures" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Up"), ...names.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "Error budget, 30d"))), h("tbody", {}, ...some));
  const card = h("div", { class: "card scroll" }, tableOf(rows.slice(0, 15)));
  if (rows.length > 15) card.append(folded("uptime", `${rows.length - 15} more`, false, tableOf(rows.slice(15))));
  $("uptime").replaceChildren(head("Availability", h("span", { class: "soft" }, `objective ${percent(doc.uptime.objective)}`)), card);
}

function component(found) {
  const states = found.numbers.filter((each) => each.kind === "state");
  const rows = found.numbers.filter((each) => each.kind !== "state").map((each) => {
    const labels = Object.values(each.labels).join(", ");
    return h("tr", {}, h("th", { scope: "row", title: each.doc }, words(each.name) + (labels ? ` (${labels})` : "")), h("td", {}, typeof each.value === "number" ? unit(each.name)(each.value) : number(each.value)));
  });
  const kind = found.kind.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  const many = rows.length > 8;
  const table = (some) => h("table", {}, h("tbody", {}, ...some));
  return h("article", { class: "card component" }, h("div", { class: "head" }, h("h3", {}, found.name, h("span", { class: "tag" }, kind)), ...states.slice(0, 1).map((each) => chip(each.value))),
    found.failed ? h("p", { class: "text-down" }, `Its numbers could not be read: ${found.failed}`) : table(rows.slice(0, many ? 7 : 8)),
    many ? folded(`c-${found.kind}-${found.name}`, `${rows.length - 7} more numbers`, false, table(rows.slice(7))) : null);
}

function drawComponents() {
  if (!doc.components.length) return $("components").replaceChildren();
  const trouble = (found) => (found.failed || found.numbers.some((each) => each.kind === "state" && ["down", "degraded"].includes(tone(each.value))) ? 0 : 1);
  const cards = [...doc.components].sort((a, b) => trouble(a) - trouble(b)).map(component);
  const grid = (some) => h("div", { class: "grid" }, ...some);
  const rest = cards.slice(24);
  $("components").replaceChildren(head("Components", h("span", { class: "soft" }, plural(cards.length, "component"))), grid(cards.slice(0, 24)),
    ...(rest.length ? [folded("components", `${rest.length} more components`, false, grid(rest))] : []));
}

function drawEvents() {
  if (!doc.events.length) return $("events").replaceChildren();
  const row = (event) => {
    const { event: kind, source, at, ...more } = event;
    const told = Object.entries(more).filter(([, value]) => value !== "" && value !== null && !(Array.isArray(value) && !value.length))
      .map(([name, value]) => `${words(name)} ${typeof value === "number" ? number(value) : value}`).join(" · ");
    const title = kind.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
    return h("div", { class: "event" }, h("time", { title: ago(at) }, clock(at)), h("div", {}, h("span", { class: "name" }, source), ` ${title}`, told ? h("p", { class: "soft" }, told) : null));
  };
  const rows = doc.events.map(row);
  const card = h("div", { class: "card" }, h("div", { class: "rows" }, ...rows.slice(0, 12)));
  if (rows.length > 12) card.append(folded("events", `${rows.length - 12} earlier`, false, h("div", { class: "rows" }, ...rows.slice(12))));
  $("events").replaceChildren(head("What happened"), card);
}

function drawAlerts() {
  if (!doc.alerts) return $("alerts").replaceChildren();
  const order = { firing: 0, pending: 1, resolved: 2 };
  const all = [...doc.alerts.alerts].filter((alert) => alert.state in order).sort((a, b) => order[a.state] - order[b.state]);
  if (!all.length) return $("alerts").replaceChildren(head("Alerts"), h("div", { class: "card" }, h("p", { class: "empty" }, "Nothing fires. Alerts that do are listed here, and can be acknowledged and silenced.")));
  const row = (alert) => {
    const notes = [alert.reason, alert.since ? `${alert.state} ${ago(alert.since)}` : alert.state];
    if (alert.acknowledged_by) notes.push(`acknowledged by ${alert.acknowledged_by}`);
    if (alert.silenced_until) notes.push(`silenced until ${clock(alert.silenced_until)}`);
    if (alert.inhibited_by) notes.push(`hidden behind ${alert.inhibited_by}`);
    const button = (id, label, act) => h("button", { id: `${id}-${alert.id}`, type: "button", onclick: act }, label);
    const actions = alert.state === "resolved" ? null : h("div", { class: "actions" },
      alert.acknowledged_by ? null : button("ack", "Acknowledge", () => askAcknowledge(alert)), alert.silenced_until ? null : button("silence", "Silence", () => askSilence(alert)));
    const inside = alert.folded && alert.folded.length ? folded(`alert-${alert.id}`, `${alert.folded.length} folded into it`, false, h("p", { class: "empty" }, alert.folded.join(", "))) : null;
    return h("div", { class: "alert" }, h("span", {}, h("span", { class: `chip ${alert.severity}` }, alert.severity), h("span", { class: "name" }, alert.name)), actions, h("p", { class: "why" }, notes.filter(Boolean).join(" · ")), inside);
  };
  const firing = all.filter((alert) => alert.state === "firing").length;
  $("alerts").replaceChildren(head("Alerts", h("span", { class: "soft" }, `${firing} firing`)), h("div", { class: "card rows" }, ...all.slice(0, 50).map(row)));
}

const DRAW = { health: [drawBanner, drawChecks, drawGraph], uptime: [drawChecks, drawUptime], components: [drawComponents], events: [drawEvents], alerts: [drawAlerts], series: [drawCharts] };

function keepingFocus(draw) {
  const { activeElement: active } = document;
  const id = active && active.id;
  const place = active && "selectionStart" in active ? active.selectionStart : null;
  draw();
  if (!id || document.activeElement === active) return;
  const again = $(id);
  if (again) { again.focus(); if (place !== null && again.setSelectionRange) again.setSelectionRange(place, place); }
}

function draw(sections) {
  const todo = new Set(sections.flatMap((name) => DRAW[name] || []));
  keepingFocus(() => todo.forEach((each) => each()));
}

// What can be done

function ask(title, fields, send) {
  const dialog = $("dialog");
  const error = h("p", { class: "error", role: "alert" });
  const form = h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, title), ...fields, error,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "primary", type: "submit" }, "OK")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const failed = await send(Object.fromEntries(new FormData(form)));
    if (failed) error.textContent = failed; else dialog.close();
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}

const field = (label, name, attributes = {}) => h("label", {}, label, h("input", { name, required: true, ...attributes }));

async function post(path, body) {
  const answer = await fetch(base + path, { method: "POST", headers: { ...authorization(), "content-type": "application/json" }, body: JSON.stringify(body) }).catch(() => null);
  if (answer === null) return "The server does not answer.";
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) return said.error || `The server answered ${answer.status}.`;
  doc.alerts = said;
  draw(["alerts"]);
  return null;
}

function askAcknowledge(alert) {
  ask(`Acknowledge ${alert.name}`, [field("Your name", "by", { value: localStorage.getItem("by") || "" }), field("Note", "note", { required: false })], (given) => {
    localStorage.setItem("by", given.by);
    return post("status/acknowledge", { alert: alert.id, ...given });
  });
}

function askSilence(alert) {
  const choice = h("label", {}, "For", h("select", { name: "hours" }, ...[[1, "1 hour"], [4, "4 hours"], [24, "1 day"], [168, "1 week"]].map(([value, text]) => h("option", { value }, text))));
  ask(`Silence ${alert.name}`, [field("Your name", "by", { value: localStorage.getItem("by") || "" }), choice, field("Why", "comment", { required: false })], (given) => {
    localStorage.setItem("by", given.by);
    return post("status/silence", { matchers: { alert: alert.name }, until: now() + 3600 * given.hours, by: given.by, comment: given.comment });
  });
}

// The stream

const authorization = () => { const token = sessionStorage.getItem("token"); return token ? { authorization: `Bearer ${token}` } : {}; };

function connected(isLive, text) {
  const shown = $("connection");
  shown.className = `connection ${isLive ? "live" : "lost"}`;
  if (shown.textContent !== text) shown.textContent = text;
}

function take(kind, data) {
  if (kind === "snapshot") {
    doc = data;
    offset = data.now - Date.now() / 1000;
    return draw(Object.keys(DRAW));
  }
  if (!doc) return;
  offset = data.now - Date.now() / 1000;
  const { points, version, ...sections } = data;
  Object.assign(doc, sections);
  for (const [name, point] of Object.entries(points)) {
    const series = (doc.series[name] ||= []);
    if (!series.length || series[series.length - 1][0] < point[0]) series.push(point);
    while (series.length && series[0][0] < now() - 3600) series.shift();
  }
  draw(Object.keys(sections));
  if (Object.keys(points).length) drawCharts();
}

async function readStream() {
  const answer = await fetch(`${base}status/events`, { headers: { ...authorization(), accept: "text/event-stream" }, cache: "no-store" });
  if (answer.status === 401) return askToken();
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  lostAt = null;
  connected(true, "Live");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    waiting += value;
    const blocks = waiting.split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => { const at = line.indexOf(": "); return [line.slice(0, at), line.slice(at + 2)]; }));
      if (fields.data) take(fields.event, JSON.parse(fields.data));
    }
  }
}

function askToken() {
  connected(false, "A token is needed");
  $("banner").replaceChildren(h("strong", {}, "Details are shown with a token"), h("p", {}, h("button", { type: "button", id: "enter", onclick: () => askToken() }, "Enter the token")));
  return new Promise((resolve) => {
    ask("Token", [field("Token", "token", { type: "password", autocomplete: "current-password" })], (given) => {
      sessionStorage.setItem("token", given.token);
      resolve("again");
      return null;
    });
  });
}

async function live() {
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    try {
      if ((await readStream()) === "again") { pause = 250; continue; }
      pause = 500;
    } catch (error) { /* as below: it is connected again */ }
    lostAt ??= Date.now();
    connected(false, `Connection lost ${Math.round((Date.now() - lostAt) / 1000)} s ago`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

window.addEventListener("resize", redrawCharts);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
live();
