// The chart: a row for each file, task or cause, and a mark for each failure.
const canvas = document.getElementById("chart");
const tip = document.getElementById("tip");
const ROWS = 24;
const AXIS = 26;
const MARK = 4;
let rowsBy = "file";
let colors = {};
// Rows from above: number of the file, task or cause, name, failures. The rest is one row.
let rows = [];
let rowAt = new Map();
let label = 180;
// Height of a row: few are higher.
let rowHigh = 26;
let width = 0;

const numberBy = { file: (i) => i.file, writer: writerOf, party: partyOf, cause: (i) => i.cause };
const nameBy = {
  file,
  writer: (n) => task(n) ?? "(further processes)",
  party: (n) => task(n) ?? "(not named)",
  cause: (n) => data.causes[n],
};

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  colors = { causes: data.causes.map((_, n) => read(`--c${n}`)) };
  for (const name of ["ground", "panel", "line", "text", "quiet", "danger", "focus", "stripe"]) {
    colors[name] = read(`--${name}`);
  }
}

function layOut() {
  const all = ranked(shown, numberBy[rowsBy]);
  const own = all.length > ROWS ? all.slice(0, ROWS - 1) : all;
  // The host of a cause is no one's.
  const hosts = new Map();
  for (const item of severalHosts && rowsBy !== "cause" ? shown : []) hosts.set(numberBy[rowsBy](item), host(item));
  hosts.delete(null);
  rows = own.map(([number, n]) => {
    const on = hosts.get(number);
    return { name: plain(nameBy[rowsBy](number), on), on, n };
  });
  rowAt = new Map(own.map(([number], place) => [number, place]));
  const rest = all.slice(own.length);
  if (rest.length > 0) {
    rows.push({ name: `(${count(rest.length)} more)`, n: rest.reduce((n, [, m]) => n + m, 0) });
  }
}

function rowHeight() {
  const least = rows.some((row) => row.on !== undefined) ? 36 : 26;
  return Math.round(Math.min(Math.max(200 / Math.max(rows.length, 1), least), 52));
}

const rowOf = (item) => rowAt.get(numberBy[rowsBy](item)) ?? rows.length - 1;
const xOf = (t) => label + (t - view.from) / (view.to - view.from) * (width - label);
const timeAt = (x) => view.from + (x - label) / (width - label) * (view.to - view.from);

// The box of a failure's mark; that of a bin has the height of its row.
function boxOf(item) {
  const x = xOf(item.t);
  const top = rowOf(item) * rowHigh;
  if (!binned) return { x: x - MARK / 2, y: top + 5, w: MARK, h: rowHigh - 10 };
  return { x, y: top + 1, w: Math.max(xOf(item.t + data.width_us) - x, 2), h: rowHigh - 2 };
}

function cut(context, text, room, end) {
  if (context.measureText(text).width <= room) return text;
  let kept = text.length;
  const part = () => (end ? `…${text.slice(text.length - kept)}` : `${text.slice(0, kept)}…`);
  while (kept > 1 && context.measureText(part()).width > room) kept -= Math.max(1, kept >> 4);
  return part();
}

function draw() {
  const scale = window.devicePixelRatio || 1;
  width = canvas.clientWidth;
  label = Math.min(Math.max(width * 0.2, 90), 260);
  rowHigh = rowHeight();
  const height = Math.max(rows.length, 1) * rowHigh + AXIS;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, width, height);
  drawRows(context);
  drawAxis(context, height - AXIS);
  context.save();
  context.beginPath();
  context.rect(label, 0, width - label, height - AXIS);
  context.clip();
  const visible = inView();
  if (binned) drawBars(context, visible);
  for (const item of binned ? [] : visible) if (item.phase !== POST) drawMark(context, item);
  // Stale ones lie above all others.
  for (const item of binned ? [] : visible) if (item.phase === POST) drawMark(context, item);
  if (selected !== null) {
    const box = boxOf(selected);
    context.strokeStyle = colors.focus;
    context.lineWidth = 2;
    context.strokeRect(box.x - 3, box.y - 3, box.w + 6, box.h + 6);
  }
  context.restore();
}

// All bins of a row at one place are one bar: its height says how many failures (logarithmic), its
// parts which causes, a mark above it that some are stale.
function drawBars(context, visible) {
  const wide = Math.max(xOf(data.width_us) - xOf(0), 2);
  const bars = new Map();
  let most = 1;
  for (const item of visible) {
    const column = Math.floor((xOf(item.t) - label + wide * 0.01) / wide);
    const key = `${rowOf(item)} ${column}`;
    let bar = bars.get(key);
    if (bar === undefined) {
      bar = { row: rowOf(item), x: label + column * wide, n: 0, stale: false, parts: new Map() };
      bars.set(key, bar);
    }
    bar.n += item.n;
    bar.stale ||= item.phase === POST;
    bar.parts.set(item.cause, (bar.parts.get(item.cause) ?? 0) + item.n);
    most = Math.max(most, bar.n);
  }
  for (const bar of bars.values()) {
    const high = 3 + (rowHigh - 11) * Math.log(bar.n + 1) / Math.log(most + 1);
    let y = (bar.row + 1) * rowHigh - 2;
    for (const [cause, n] of [...bar.parts].sort(([a], [b]) => a - b)) {
      const part = high * n / bar.n;
      context.fillStyle = colors.causes[cause];
      context.fillRect(bar.x, y - part, wide, part);
      y -= part;
    }
    if (bar.stale) {
      context.fillStyle = colors.danger;
      context.fillRect(bar.x, bar.row * rowHigh + 1, wide, 3);
    }
  }
}

function drawMark(context, item) {
  const { x, y, w, h } = boxOf(item);
  context.fillStyle = colors.causes[item.cause];
  context.fillRect(x, y, w, h);
  if (item.phase === POST) {
    context.fillStyle = colors.danger;
    const middle = x + w / 2;
    context.beginPath();
    context.moveTo(middle - 5, y - 4);
    context.lineTo(middle + 5, y - 4);
    context.lineTo(middle, y + 4);
    context.fill();
  }
}

function drawRows(context) {
  context.font = "12.5px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  rows.forEach((row, place) => {
    const middle = place * rowHigh + rowHigh / 2;
    if (place % 2 === 0) {
      context.fillStyle = colors.stripe;
      context.fillRect(0, place * rowHigh, width, rowHigh);
    }
    context.textAlign = "right";
    context.fillStyle = colors.quiet;
    const n = count(row.n);
    context.fillText(n, label - 10, middle);
    context.textAlign = "left";
    context.fillStyle = colors.text;
    const room = label - 28 - context.measureText(n).width;
    const name = cut(context, row.name, room, rowsBy === "file");
    context.fillText(name, 10, row.on === undefined ? middle : middle - 8);
    if (row.on === undefined) return;
    context.fillStyle = colors.quiet;
    context.fillText(cut(context, `on ${row.on}`, room, false), 10, middle + 8);
  });
  if (rows.length === 0) {
    context.textAlign = "left";
    context.fillStyle = colors.quiet;
    context.fillText("No failure passes these filters.", label + 10, rowHigh / 2);
  }
}

// Steps of the axis in microseconds: decimal up to a second, then those of a clock.
const STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5].map((zeros) => n * 10 ** zeros))
  .sort((a, b) => a - b)
  .concat([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200]
    .map((s) => s * 1e6));

function drawAxis(context, y) {
  const length = view.to - view.from;
  const wanted = length / Math.max((width - label) / 130, 1);
  const days = Math.ceil(wanted / 86.4e9) * 86.4e9;
  const space = STEPS.find((candidate) => candidate >= wanted) ?? days;
  const digits = Math.max(0, 6 - Math.floor(Math.log10(space)));
  context.strokeStyle = colors.line;
  context.lineWidth = 1;
  context.fillStyle = colors.quiet;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const phase = ((data.base_us % space) + space) % space;
  const begin = Math.ceil((view.from + phase) / space) * space - phase;
  for (let t = begin, n = 0; t <= view.to && n < 100; t += space, n += 1) {
    const x = Math.round(xOf(t)) + 0.5;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, y + 5);
    context.stroke();
    const [day, time] = moment(t, digits);
    const text = space >= 86.4e9 ? day : time;
    const half = context.measureText(text).width / 2;
    if (x - half > label && x + half < width) context.fillText(text, x, y + AXIS / 2 + 2);
  }
  context.textAlign = "left";
  context.fillText(`${moment(Math.max(view.from, 0))[0]} UTC`, 10, y + AXIS / 2 + 2);
}

let drawing = false;
function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

// The failure whose mark is nearest to a place, if one is near.
function nearest(x, y) {
  const row = Math.floor(y / rowHigh);
  const reach = 6;
  const from = firstFrom(shown, timeAt(x - reach) - data.width_us);
  let best = null;
  let least = Infinity;
  for (let at = from; at < shown.length; at += 1) {
    const item = shown[at];
    if (item.t > timeAt(x + reach)) break;
    if (rowOf(item) !== row) continue;
    const box = boxOf(item);
    // Stale ones come first, and the larger bin.
    const away = Math.max(box.x - x, x - box.x - box.w, 0) + (item.phase === POST && !binned ? 0 : 0.1)
      + 1 / item.n;
    if (away <= reach && away < least) [best, least] = [item, away];
  }
  return best;
}
