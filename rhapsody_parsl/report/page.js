"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
const byId = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PALETTE = ["#2a6f97", "#e07a5f", "#3a7d44", "#e0a100", "#8e5ea2", "#3cb4a8", "#c8553d", "#6c7a89", "#b5838d",
  "#7f9c3a", "#4059ad", "#d17b0f", "#9b2226", "#5f7fbf", "#a3a847", "#cc6699"];
const OUTCOMES = { done: "#3a7d44", raised: "#e0a100", failed: "#c8553d", lost: "#9b2226", cancelled: "#8e8e8e",
  refused: "#d17b0f", late: "#8e5ea2", left: "#a9b3bf" };
const FIXED = { services: "#b5a6c9", service: "#b5a6c9", lease: "#a9b3bf", "a block": "#9aa5b4", cores: "#2a6f97",
  gpus: "#3a7d44", nodes: "#4059ad", memory: "#8e5ea2", labels: "#b5838d", reservation: "#e0a100", order: "#7f9c3a",
  runtime: "#e07a5f", service_wait: "#3cb4a8" };
const RUNTIMES = { dragon: "#3a7d44", mpi: "#2a6f97", vllm: "#c8553d", local: "#6c7a89", services: "#b5a6c9",
  "front door": "#d17b0f" };

// --- numbers ---------------------------------------------------------------------------------------------------------

function many(count, noun) {
  return count === 1 ? noun : `${noun}s`;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return value.toLocaleString("en", { maximumFractionDigits: size >= 100 ? 0 : size >= 1 ? 2 : size >= 0.01 ? 3 : 6 });
}

function span(seconds) {
  if (seconds >= 7200) return number(Math.round(seconds / 360) / 10) + " h";
  if (seconds >= 120) return number(Math.round(seconds / 6) / 10) + " min";
  if (seconds >= 1) return number(seconds) + " s";
  return seconds >= 0.001 ? number(Math.round(seconds * 1e4) / 10) + " ms" : number(Math.round(seconds * 1e6)) + " µs";
}

function unitOf(seconds) {
  return seconds > 10800 ? ["h", 3600] : seconds > 300 ? ["min", 60] : seconds >= 0.5 ? ["s", 1] : ["ms", 0.001];
}

function ticks(low, high, most) {
  const step = 10 ** Math.floor(Math.log10((high - low) / most || 1));
  const width = [1, 2, 5, 10].map((factor) => factor * step).find((each) => (high - low) / each <= most) || step * 10;
  const found = [];
  for (let at = Math.ceil(low / width - 1e-9) * width; at <= high + width * 1e-6; at += width) found.push(at + 0 || 0);
  return found;
}

// --- what is told first ----------------------------------------------------------------------------------------------

const summary = data.summary;
document.title = `Run of ${data.title}`;
byId("title").textContent = `Run of executor ${data.title}`;
byId("when").textContent = `${data.began} · ${span(data.seconds)} · ${summary.state} · rhapsody-parsl ${summary.package}`;
for (const [label, value, bad] of [
  ["tasks ended", number(summary.tasks)], ["returned a value", number(summary.done)],
  ["raised, failed or lost", number(summary.raised + summary.failed + summary.lost),
    summary.raised + summary.failed + summary.lost > 0],
  ["cancelled", number(summary.cancelled)], ["tasks per second, while some ran", number(summary["tasks per second"])],
  ["core hours that tasks used", number(summary["core hours used"])],
  ["of the core hours held", (100 * summary.used).toFixed(summary.used < 0.1 ? 1 : 0) + " %"],
  ...(summary.requests ? [["requests at the front door", number(summary.requests)]] : []),
  [`${many(summary.blocks, "block")}, ${number(summary.nodes)} ${many(summary.nodes, "node")},`
    + ` ${number(summary.cores)} ${many(summary.cores, "core")}`, number(summary.blocks)],
]) {
  const card = make("div", undefined, bad ? "card bad" : "card");
  card.append(make("b", value), make("span", label));
  byId("cards").append(card);
}

// --- canvases --------------------------------------------------------------------------------------------------------

function sheet(canvas, height) {
  const scale = window.devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  return [pen, width];
}

function legend(element, entries) {
  element.replaceChildren(...entries.map(([name, fill]) => {
    const item = make("span"), mark = make("i");
    mark.style.background = fill;
    item.append(mark, name);
    return item;
  }));
}

function timeAxis(pen, left, right, bottom, low, high, label) {
  const [unit, size] = unitOf(high - low);
  pen.fillStyle = colour("--soft");
  pen.textAlign = "center";
  for (const tick of ticks(low / size, high / size, 10)) {
    const x = left + (tick * size - low) / (high - low) * (right - left);
    pen.fillText(number(Math.round(tick * 1e6) / 1e6), x, bottom + 16);
    pen.fillRect(x, bottom, 1, 4);
  }
  pen.fillText(`${label} (${unit})`, (left + right) / 2, bottom + 34);
}

// --- timeline --------------------------------------------------------------------------------------------------------

const lines = data.timeline;
const column = (name) => {
  const raw = atob(lines[name]), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Uint32Array(bytes.buffer);
};
const bars = Object.fromEntries(["row", "count", "start", "end", "task", "app", "runtime", "outcome"].map(
  (name) => [name, column(name)]));
const total = lines.rows.reduce((most, [, , first, count]) => Math.max(most, first + count), 0);
const TICKS = 4294967295, LEFT = 170, AXIS = 42;
const all = { from: 0, to: Math.max(data.seconds, 1e-3), top: 0, bottom: Math.max(total, 1) };
const view = { ...all };
const isBackground = lines.outcomes.map((name) => name === "lease" || name === "service");

function coloursBy(kind) {
  const names = { app: lines.apps, runtime: lines.runtimes, outcome: lines.outcomes }[kind];
  const fixed = { runtime: RUNTIMES, outcome: { ...OUTCOMES, ...FIXED }, app: {} }[kind];
  return names.map((name, i) => fixed[name] || PALETTE[i % PALETTE.length]);
}

function timelineHeight() { return Math.max(220, Math.min(680, total * 14)) + AXIS; }

function drawTimeline() {
  const canvas = byId("timeline"), [pen, width] = sheet(canvas, timelineHeight());
  const kind = byId("by").value, fills = coloursBy(kind), index = bars[kind];
  const bottom = timelineHeight() - AXIS, across = width - LEFT - 8;
  const perSecond = across / (view.to - view.from), perRow = bottom / (view.bottom - view.top);
  const gap = perRow > 6 ? 1 : 0, perTick = all.to / TICKS;
  drawRows(pen, bottom, width, perRow);
  pen.save();
  pen.beginPath();
  pen.rect(LEFT, 0, across, bottom);
  pen.clip();
  let lastRow = -1, lastX = 0, lastFill = "";
  for (let i = 0; i < bars.row.length; i++) {
    const row = bars.row[i], rows = bars.count[i];
    if (row + rows < view.top || row > view.bottom) continue;
    const a = (bars.start[i] * perTick - view.from) * perSecond, b = (bars.end[i] * perTick - view.from) * perSecond;
    if (b < 0 || a > across) continue;
    const background = isBackground[bars.outcome[i]];
    const fill = background ? FIXED[lines.outcomes[bars.outcome[i]]] : fills[index[i]];
    if (row === lastRow && b < lastX && fill === lastFill && rows === 1) continue; // painted already, to the pixel
    pen.fillStyle = fill;
    pen.globalAlpha = background && lines.outcomes[bars.outcome[i]] === "lease" ? 0.35 : 1;
    const wide = Math.max(b - a, 0.6), space = gap && wide > 3 ? 0.5 : 0;
    pen.fillRect(LEFT + a, (row - view.top) * perRow, wide - space, Math.max(rows * perRow - gap, 0.5));
    [lastRow, lastX, lastFill] = [row, a + wide, fill];
  }
  pen.restore();
  pen.globalAlpha = 1;
  timeAxis(pen, LEFT, width - 8, bottom, view.from, view.to, "time since the executor started");
  const names = { app: lines.apps, runtime: lines.runtimes, outcome: lines.outcomes }[kind];
  const seen = new Set();
  for (let i = 0; i < index.length; i++) if (!isBackground[bars.outcome[i]]) seen.add(index[i]);
  const shown = [...seen].slice(0, 24).map((i) => [names[i], fills[i]]);
  if (seen.size > 24) shown.push([`and ${seen.size - 24} more`, "transparent"]);
  if (lines.outcomes.includes("service")) shown.push(["held by a service", FIXED.service]);
  if (lines.outcomes.includes("lease")) shown.push(["leased", FIXED.lease]);
  legend(byId("legend"), shown);
}

function drawRows(pen, bottom, width, perRow) {
  let last = -100;
  pen.textAlign = "right";
  lines.rows.forEach(([name, kind, first, count]) => {
    const y = (first - view.top) * perRow, high = count * perRow;
    if (y + high < 0 || y > bottom) return;
    pen.fillStyle = colour("--line");
    pen.fillRect(LEFT, Math.max(0, y), width - LEFT - 8, 1);
    pen.fillStyle = colour("--ink");
    const title = kind === "request" ? name : `${name} ${kind}s`, middle = Math.max(12, Math.min(y + 12, y + high - 3));
    if (middle - last > 13 && middle < bottom) {
      pen.fillText(title.length > 21 ? title.slice(0, 20) + "…" : title, LEFT - 26, middle);
      last = middle;
    }
    if (perRow > 11 && kind !== "request") {
      pen.fillStyle = colour("--soft");
      for (let i = 0; i < count; i++) {
        const at = y + (i + 0.5) * perRow + 4;
        if (at > 6 && at < bottom) pen.fillText(String(i), LEFT - 6, at);
      }
    }
  });
}

function at(event) {
  const box = byId("timeline").getBoundingClientRect(), bottom = timelineHeight() - AXIS;
  const x = event.clientX - box.left, y = event.clientY - box.top;
  return { x, y, time: view.from + (x - LEFT) / (box.width - LEFT - 8) * (view.to - view.from),
    row: view.top + y / bottom * (view.bottom - view.top), inside: x >= LEFT && y < bottom };
}

let asked = false;
function redraw() {
  if (!asked) requestAnimationFrame(() => { asked = false; drawTimeline(); drawUse(); });
  asked = true;
}

function zoom(low, high, middle, factor, least, first, last) {
  const wide = Math.min(Math.max((view[high] - view[low]) * factor, least), last - first);
  const part = (middle - view[low]) / (view[high] - view[low]);
  view[low] = Math.min(Math.max(middle - part * wide, first), last - wide);
  view[high] = view[low] + wide;
}

function watchTimeline() {
  const canvas = byId("timeline"), tip = byId("tip");
  let dragged = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const place = at(event), factor = Math.exp((event.deltaY || event.deltaX) * 0.0015);
    if (event.shiftKey) zoom("top", "bottom", place.row, factor, Math.min(4, all.bottom), 0, all.bottom);
    else zoom("from", "to", place.time, factor, all.to * 1e-7, 0, all.to);
    redraw();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => { dragged = at(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  canvas.addEventListener("dblclick", () => { Object.assign(view, all); redraw(); });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("pointermove", (event) => {
    const place = at(event);
    if (dragged) {
      zoom("from", "to", view.from, 1, 0, 0, all.to);
      const move = Math.min(Math.max(dragged.time - place.time, -view.from), all.to - view.to);
      const lift = Math.min(Math.max(dragged.row - place.row, -view.top), all.bottom - view.bottom);
      view.from += move; view.to += move; view.top += lift; view.bottom += lift;
      redraw();
    } else tell(place, tip, canvas);
  });
  byId("by").addEventListener("change", drawTimeline);
}

function tell(place, tip, canvas) {
  let found = -1;
  const perTick = all.to / TICKS, slack = (view.to - view.from) / canvas.clientWidth;
  for (let i = bars.row.length - 1; place.inside && i >= 0 && found < 0; i--) {
    if (place.row < bars.row[i] || place.row >= bars.row[i] + bars.count[i]) continue;
    if (bars.start[i] * perTick <= place.time + slack && bars.end[i] * perTick >= place.time - slack) found = i;
  }
  tip.hidden = found < 0;
  if (found < 0) return;
  const start = bars.start[found] * perTick, end = bars.end[found] * perTick, outcome = lines.outcomes[bars.outcome[found]];
  const where = lines.rows.find(([, , first, count]) => place.row >= first && place.row < first + count);
  const what = bars.task[found] ? `task ${bars.task[found]}, ${outcome}` : outcome === "service" ? "held by a service"
    : outcome === "lease" ? "leased" : `request, ${outcome}`;
  tip.textContent = [lines.apps[bars.app[found]], `${what} · ${lines.runtimes[bars.runtime[found]]}`,
    `${where[0]}${where[1] === "request" ? "" : ` ${where[1]} ${Math.floor(place.row) - where[2]}`}`,
    `${span(end - start)}, from ${number(Math.round(start * 1000) / 1000)} s`].join("\n");
  tip.style.left = `${Math.min(place.x + 14, canvas.clientWidth - tip.offsetWidth - 4)}px`;
  tip.style.top = `${place.y + 14}px`;
}

// --- how much nodes work ---------------------------------------------------------------------------------------------

const use = data.use, SHADES = { CPU: [42, 111, 151], memory: [133, 92, 130], GPU: [58, 125, 68] };
const useRow = Math.max(2, Math.min(14, 420 / Math.max(1, use.rows.length))), useHeight = useRow * use.rows.length;
const levels = Uint8Array.from(atob(use.values), (letter) => letter.charCodeAt(0));

function useSheet() { // a point for each row and part of the time, drawn once: zooming only stretches it
  const image = new ImageData(use.bins, use.rows.length), canvas = make("canvas");
  [canvas.width, canvas.height] = [use.bins, use.rows.length];
  levels.forEach((level, i) => {
    const shade = SHADES[use.rows[Math.floor(i / use.bins)][1].split(" ")[0]];
    image.data.set([...shade, level > use.full ? 0 : 14 + 241 * level / use.full], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
const usePicture = use.rows.length ? useSheet() : null;

function drawUse() {
  if (!usePicture) return;
  const [pen, width] = sheet(byId("use"), useHeight + AXIS), perSecond = use.bins / all.to;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(usePicture, view.from * perSecond, 0, (view.to - view.from) * perSecond, use.rows.length,
    LEFT, 0, width - LEFT - 8, useHeight);
  pen.textAlign = "right";
  pen.fillStyle = colour("--ink");
  let last = -100;
  use.rows.forEach(([node, kind], i) => {
    const y = Math.max(12, (i + 0.5) * useRow + 4), title = `${node} ${kind}`;
    if (y - last > 11) {
      pen.fillText(title.length > 25 ? title.slice(0, 24) + "…" : title, LEFT - 6, y);
      last = y;
    }
  });
  timeAxis(pen, LEFT, width - 8, useHeight, view.from, view.to, "time since the executor started");
}

function watchUse() {
  const canvas = byId("use");
  byId("use-part").hidden = !usePicture;
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), part = (event.clientX - box.left - LEFT) / (box.width - LEFT - 8);
    const bin = Math.floor((view.from + part * (view.to - view.from)) / all.to * use.bins);
    const row = Math.floor((event.clientY - box.top) / useRow), level = levels[row * use.bins + bin];
    const inside = part >= 0 && bin < use.bins && row < use.rows.length && level <= use.full;
    const share = level / use.full, told = inside && use.rows[row][1] === "memory"
      ? `${number(share * use.memory)} GB` : `${Math.round(100 * share)} %`;
    canvas.title = inside ? `${use.rows[row].join(" ")}: ${told}` : "";
  });
}

// --- charts ----------------------------------------------------------------------------------------------------------

const CHARTS = [
  ["cores", "Cores in use", "cores"], ["gpus", "GPUs in use", "GPUs"],
  ["requests", "Requests at services", "requests"], ["tokens", "Tokens of answers", "tokens per second"],
  ["latency", "Answers, from when they were asked for", "seconds"],
  ["running", "Tasks that ran", "tasks"], ["ended", "Tasks that ended", "tasks per second"], ["waiting", "Tasks that waited, by what they waited for", "tasks"],
];

function drawChart(canvas, name, label) {
  const { layers, line, lines = {} } = data.charts[name], names = Object.keys(layers);
  const [pen, width] = sheet(canvas, 230), left = 74, right = width - 8, top = 10, bottom = 230 - AXIS;
  const count = names.length ? layers[names[0]].length : line.length, sums = new Array(count).fill(0);
  for (const each of names) layers[each].forEach((value, i) => { sums[i] += value; });
  const most = Math.max(...sums, ...line, ...Object.values(lines).flat(), 1e-9) * 1.05;
  const x = (i) => left + i / count * (right - left), y = (value) => bottom - value / most * (bottom - top);
  pen.textAlign = "right";
  for (const tick of ticks(0, most, 5)) {
    pen.fillStyle = colour("--line");
    pen.fillRect(left, y(tick), right - left, 1);
    pen.fillStyle = colour("--soft");
    pen.fillText(number(tick), left - 6, y(tick) + 4);
  }
  const base = new Array(count).fill(0);
  for (const each of names) {
    pen.fillStyle = chartColour(name, each, names.indexOf(each));
    pen.beginPath();
    pen.moveTo(x(0), y(base[0]));
    for (let i = 0; i < count; i++) { pen.lineTo(x(i), y(base[i] + layers[each][i])); pen.lineTo(x(i + 1), y(base[i] + layers[each][i])); }
    for (let i = count - 1; i >= 0; i--) { pen.lineTo(x(i + 1), y(base[i])); pen.lineTo(x(i), y(base[i])); }
    pen.fill();
    layers[each].forEach((value, i) => { base[i] += value; });
  }
  pen.strokeStyle = colour("--ink");
  pen.setLineDash([4, 3]);
  pen.beginPath();
  line.forEach((value, i) => { pen.lineTo(x(i), y(value)); pen.lineTo(x(i + 1), y(value)); });
  pen.stroke();
  pen.setLineDash([]);
  Object.values(lines).forEach((values, i) => drawLine(pen, values, PALETTE[i % PALETTE.length], left, right, y));
  timeAxis(pen, left, right, bottom, 0, all.to, "time since the executor started");
  pen.save();
  pen.translate(13, (top + bottom) / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText(label, 0, 0);
  pen.restore();
}

function drawLine(pen, values, fill, left, right, y) { // a part of the time without a value is left out
  pen.strokeStyle = pen.fillStyle = fill;
  pen.lineWidth = 1.5;
  pen.beginPath();
  values.forEach((value, i) => {
    if (value === null) return;
    const x = left + (i + 0.5) / values.length * (right - left);
    pen.lineTo(x, y(value));
    pen.fillRect(x - 2, y(value) - 2, 4, 4);
  });
  pen.stroke();
  pen.lineWidth = 1;
}

function chartColour(chart, name, i) {
  if (chart === "waiting") return FIXED[name === "service" ? "service_wait" : name] || PALETTE[i % PALETTE.length];
  return RUNTIMES[name] || PALETTE[i % PALETTE.length];
}

function showCharts() {
  const drawn = []; // once all are there: the first one does not know its width before
  byId("charts").replaceChildren();
  for (const [name, title, label] of CHARTS) {
    const chart = data.charts[name];
    if (!chart || !(Object.keys(chart.layers).length || chart.line.length || Object.keys(chart.lines || {}).length)) continue;
    const box = make("div"), plot = make("div", undefined, "plot"), canvas = make("canvas"), marks = make("div", undefined, "legend");
    plot.append(canvas);
    box.append(make("h2", title), plot, marks);
    byId("charts").append(box);
    drawn.push(() => drawChart(canvas, name, label));
    const entries = Object.keys(chart.layers).map((each, i) => [each, chartColour(name, each, i)]);
    entries.push(...Object.keys(chart.lines || {}).map((each, i) => [each, PALETTE[i % PALETTE.length]]));
    legend(marks, chart.line.length ? [...entries, ["dashed: what the blocks had", "transparent"]] : entries);
  }
  for (const draw of drawn) draw();
}

// --- tables ----------------------------------------------------------------------------------------------------------

const TABLES = [
  ["apps", "Apps", "Those that took the longest in all come first. Seconds are those of one task; a click on a head sorts."],
  ["steps", "Where the time of a task went", "Of the tasks that ran, each step by itself."],
  ["causes", "What tasks waited for in their block", "nothing: they started at once. reservation: nodes were kept for others. order: others came first."],
  ["services", "Services", "Ready: seconds after the executor started. First: until the first token of a stream. Prompt: its tokens. Tokens are those that the engine tells. Of streams it tells them if the client asks for it (stream_options); of others the pieces are counted."],
  ["requests", "The slowest requests", "Seconds are those from when a request came to the end of its answer."],
  ["failures", "What returned no value", "Refused, late, left: requests that the front door refused, that did not begin in time, whose client hung up."],
  ["slowest", "The longest tasks", ""],
  ["blocks", "Blocks", "Seconds since the executor started."],
  ["nodes", "Nodes", "By the operating system: programs that are not of the run count, too."],
];
const TEXT = new Set(["app", "runtime", "waited for", "outcome", "error", "words", "apps", "nodes", "step", "service", "state", "why", "block", "node", "asked by", "app or key", "replica"]);

function showTable(name, title, note) {
  const rows = data.tables[name];
  if (!rows.length) return;
  const box = make("div"), table = make("table"), head = make("tr"), body = make("tbody");
  const keys = Object.keys(rows[0]);
  const fill = (sorted) => body.replaceChildren(...sorted.map((row) => {
    const line = make("tr");
    for (const key of keys) line.append(make("td", number(row[key]), key === "words" || key === "why" ? "text words" : textual(key, row[key])));
    return line;
  }));
  for (const key of keys) {
    const cell = make("th", key, textual(key, rows[0][key]));
    let up = true;
    cell.addEventListener("click", () => {
      up = !up;
      fill([...rows].sort((a, b) => (a[key] > b[key] ? 1 : a[key] < b[key] ? -1 : 0) * (up ? 1 : -1)));
    });
    head.append(cell);
  }
  fill(rows);
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  box.append(make("h2", title));
  if (note) box.append(make("p", note, "note"));
  box.append(table);
  byId("tables").append(box);
}

function textual(key, value) { return TEXT.has(key) && typeof value === "string" ? "text" : ""; }

for (const facts of TABLES) showTable(...facts);
watchTimeline();
watchUse();
function drawAll() { drawTimeline(); drawUse(); showCharts(); }
drawAll();
window.addEventListener("resize", drawAll);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.body.dataset.ready = "yes";
