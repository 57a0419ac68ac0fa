// Numbers and times as text, and elements that hold text. Text never becomes markup.
const count = (n) => n.toLocaleString("en-US");
const failuresOf = (n) => `${count(n)} ${n === 1 ? "failure" : "failures"}`;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Microseconds.
function duration(us) {
  const short = (value, unit) => `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
  if (us < 1e3) return short(us, "us");
  if (us < 1e6) return short(us / 1e3, "ms");
  if (us < 6e7) return short(us / 1e6, "s");
  if (us < 3.6e9) return `${Math.floor(us / 6e7)} min ${Math.round(us % 6e7 / 1e6)} s`;
  return `${Math.floor(us / 3.6e9)} h ${Math.round(us % 3.6e9 / 6e7)} min`;
}

// A moment, UTC, with so many digits of its second: ["2026-11-23", "15:22:42.446"].
function moment(t, digits = 3) {
  const us = data.base_us + t;
  const seconds = Math.floor(us / 1e6);
  const date = new Date(seconds * 1e3);
  if (Number.isNaN(date.getTime())) return ["", `${us} us`];
  const [day, time] = date.toISOString().replace("Z", "").split("T");
  const part = String(Math.floor(us - seconds * 1e6)).padStart(6, "0").slice(0, digits);
  return [day, time.replace(/\..*/, "") + (digits > 0 ? `.${part}` : "")];
}

const file = (number) => data.files[number].name;
const task = (number) => (number === null || number === undefined ? null : data.tasks[number]);
const writer = (item) => task(writerOf(item)) ?? "(further processes)";
const party = (item) => (item.pair === OTHERS && binned ? "(further processes)" : task(partyOf(item)) ?? "not named");

// The host of an item, if there are several; all its names end with it, which says nothing where the
// host is said beside them.
const severalHosts = data.files.some((one) => one.host !== undefined);
const host = (item) => data.files[item.file].host ?? "(further hosts)";
function plain(name, of) {
  const end = ` on ${of}`;
  return severalHosts && name.endsWith(end) ? name.slice(0, -end.length) : name;
}

// Offsets and lengths come as text: they can be larger than numbers here are exact.
function range(item) {
  return `${item.pos} + ${item.len} bytes`;
}

// What is known of a failure or of a bin: names and values.
function facts(item) {
  const [day, time] = moment(item.t, 6);
  const by = data.pairs[item.pair];
  const rows = [];
  if (binned) {
    rows.push(["failures", count(item.n)]);
    rows.push(["between", `${day} ${time} UTC and ${duration(data.width_us)} later`]);
  } else {
    rows.push(["failure", `${item.id}${data.runs > 1 ? ` of run ${item.run}` : ""}`]);
    rows.push(["seen", `${day} ${time} UTC${item.took > 0 ? `, ${duration(item.took)} after the write began` : ""}`]);
  }
  rows.push(["cause", data.causes[item.cause] + (binned ? "" : ` (${data.confidences[item.confidence]})`)]);
  rows.push(["when", data.phases[item.phase], item.phase === POST]);
  if (!binned) rows.push(["the write", data.outcomes[item.outcome], data.outcomes[item.outcome].includes("stale")]);
  rows.push(["file", file(item.file)]);
  if (!binned) rows.push(["range", range(item)]);
  rows.push(["writer", writer(item)]);
  rows.push(["other party", party(item) + (by.did ? `: ${by.did}` : "")]);
  return rows;
}

function factsList(item) {
  const list = element("dl");
  for (const [name, value, bad] of facts(item)) {
    list.append(element("dt", name), element("dd", value, bad ? { class: "stale" } : {}));
  }
  return list;
}
