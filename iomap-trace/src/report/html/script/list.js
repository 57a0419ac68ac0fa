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
columns.push(
  ["cause", (i) => data.causes[i.cause]],
  ["when", (i) => data.phases[i.phase]],
  ["file", (i) => file(i.file)],
  ["writer", writer],
  ["other party", party],
);
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
  listed = all.slice(0, LISTED);
  list.querySelectorAll("th").forEach((cell, column) => {
    if (column === order.column) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const body = list.tBodies[0];
  body.replaceChildren(...listed.map((item) => {
    const row = element("tr", undefined, { tabindex: "0" });
    for (const [title, plain, text = plain] of columns) {
      const stale = title === "when" && item.phase === POST;
      row.append(element("td", text(item), stale ? { class: "stale" } : {}));
    }
    const choose = () => select(item);
    row.addEventListener("click", choose);
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter") choose();
    });
    return row;
  }));
  const what = binned ? "bins" : "failures";
  const more = all.length > LISTED ? `The first ${LISTED} of ${count(all.length)} ${what} in this order.` : "";
  document.getElementById("list-note").textContent = more;
  markList();
}

function markList() {
  [...list.tBodies[0].rows].forEach((row, place) => {
    if (listed[place] === selected) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  });
}
