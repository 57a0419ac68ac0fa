// The failures of the section that is shown, as a table.
const LISTED = 100;
const list = document.getElementById("list");
// The day is said where there are several.
const days = new Set([moment(first), moment(last)].map(([day]) => day)).size;
const clock = (i, digits) => moment(i.t, digits).slice(days > 1 ? 0 : 1).join(" ");
const columns = binned
  ? [
    ["begins (UTC)", (i) => i.t, (i) => clock(i, 3)],
    ["failures", (i) => i.n, (i) => count(i.n)],
  ]
  : [
    ["seen (UTC)", (i) => i.t, (i) => clock(i, 6)],
    ["failure", (i) => i.id, (i) => (data.runs > 1 ? `${i.id} of run ${i.run}` : String(i.id))],
    ["after", (i) => i.took, (i) => (i.took > 0 ? duration(i.took) : "not seen")],
    ["first byte", (i) => Number(i.pos), (i) => i.pos],
    ["bytes", (i) => Number(i.len), (i) => i.len],
  ];
if (severalHosts) columns.push(["host", host]);
columns.push(
  ["cause", (i) => data.causes[i.cause]],
  ["when", (i) => data.phases[i.phase]],
  ["file", (i) => plain(file(i.file), host(i))],
  ["writer", (i) => plain(writer(i), host(i))],
  ["other party", (i) => plain(party(i), host(i))],
);
// These may take several lines.
const LONG = ["file", "writer", "other party", ...(severalHosts ? ["host", "when"] : [])];
const order = { column: binned ? 1 : 0, down: binned };
let listed = [];

function makeList() {
  const row = element("tr");
  columns.forEach(([title], column) => {
    const cell = element("th", undefined, { scope: "col" });
    const button = element("button", title, { type: "button" });
    button.addEventListener("click", () => {
      order.down = order.column === column && !order.down;
      order.column = column;
      fillList();
    });
    cell.append(button);
    row.append(cell);
  });
  const head = element("thead");
  head.append(row);
  list.append(head, element("tbody"));
}

function fillList() {
  const all = inView();
  const [, value] = columns[order.column];
  if (order.column > 0 || order.down) {
    const sign = order.down ? -1 : 1;
    all.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return sign * (typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0);
    });
  }
  const before = listed;
  listed = all.slice(0, LISTED);
  list.querySelectorAll("th").forEach((cell, column) => {
    if (column === order.column) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const body = list.tBodies[0];
  const focused = [...body.rows].indexOf(document.activeElement);
  const kept = focused < 0 ? null : before[focused];
  body.replaceChildren(...listed.map((item) => {
    const row = element("tr", undefined, { tabindex: "0" });
    for (const [title, value, text = value] of columns) {
      const stale = title === "when" && item.phase === POST;
      const short = LONG.includes(title) ? "" : "short";
      row.append(element("td", text(item), { class: stale ? `stale ${short}` : short }));
    }
    const choose = () => select(item);
    row.addEventListener("click", choose);
    row.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    return row;
  }));
  const what = binned ? "bins" : "failures";
  const more = all.length > LISTED ? `The first ${LISTED} of ${count(all.length)} ${what} in this order.` : "";
  document.getElementById("list-note").textContent = more;
  markList();
  // The rows are new: whoever uses them by keyboard is to stay where they were.
  if (kept !== null) body.rows[listed.indexOf(kept)]?.focus({ preventScroll: true });
}

function markList() {
  [...list.tBodies[0].rows].forEach((row, place) => {
    if (listed[place] === selected) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  });
}
