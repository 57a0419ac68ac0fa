// The report's tables sort by the column whose title is pressed.
const UNITS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 6e10, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

// A number, a duration or a size; NaN for other text.
function amount(text) {
  const minutes = /^(\d+)m(\d+)s$/.exec(text);
  if (minutes) return (Number(minutes[1]) * 60 + Number(minutes[2])) * 1e9;
  const parts = /^(-?[\d.]+) ?(ns|us|ms|s|m|K|M|G|T)?$/.exec(text);
  return parts ? Number(parts[1]) * (UNITS[parts[2]] ?? 1) : NaN;
}

function compare(a, b) {
  const [x, y] = [amount(a), amount(b)];
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  // Numbers come before words.
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return a.localeCompare(b, "en", { numeric: true });
}

function sortable(table) {
  const titles = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) return;
  titles.forEach((cell, column) => {
    const title = cell.textContent;
    if (title === "") return;
    const button = element("button", title, { type: "button" });
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent.trim();
      const sorted = [...body.rows].sort((a, b) => (down ? -1 : 1) * compare(text(a), text(b)));
      body.append(...sorted);
    });
    cell.replaceChildren(button);
  });
}
