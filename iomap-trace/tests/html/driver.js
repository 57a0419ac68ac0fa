// Uses the report as a user does, and writes down what it finds: a line for each check.
"use strict";
const results = [];
const check = (what, found, wanted) => {
  const same = JSON.stringify(found) === JSON.stringify(wanted);
  results.push(`${same ? "ok" : "FAILED"} ${what}${same ? "" : `: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`}`);
};
const settle = (milliseconds = 120) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

async function run(page, window) {
  const $ = (id) => page.getElementById(id);
  const data = JSON.parse($("failures").textContent);
  const chart = $("chart");
  const shown = () => Number($("status").textContent.split(" ")[0].replaceAll(",", ""));
  const rows = () => [...$("list").tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent));
  const title = (table, name) => [...table.querySelectorAll("th button")].find((button) => button.textContent === name);
  const press = (key, more = {}) => chart.dispatchEvent(new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  const choose = async (id, value) => {
    $(id).value = value;
    $(id).dispatchEvent(new window.Event("change"));
    await settle();
  };
  const details = () => Object.fromEntries([...$("details").querySelectorAll("dt")].map((name) => [name.textContent, name.nextSibling.textContent]));
  const binned = data.width_us > 0;
  const items = binned ? data.bins : data.points;
  const [fileOf, pairOf, causeOf, phaseOf] = binned ? [1, 2, 3, 4] : [2, 3, 4, 5];
  const n = (item) => (binned ? item[5] : 1);
  const sum = (list) => list.reduce((all, item) => all + n(item), 0);

  check("the explorer is there", $("explorer").hidden, false);
  check("all failures are shown", shown(), data.failures);
  check("no more than a hundred are listed", rows().length, Math.min(items.length, 100));
  check("the note says when they are counted", !$("note").hidden && $("note").textContent.includes(`${items.length.toLocaleString("en-US")} bins`), binned);

  // Filters.
  const some = items[items.length >> 1];
  await choose("by-file", String(some[fileOf]));
  check("the filter by file", shown(), sum(items.filter((item) => item[fileOf] === some[fileOf])));
  $("clear").click();
  await settle();
  check("all again", shown(), data.failures);
  const { writer } = data.pairs.find((pair) => pair.writer !== null);
  await choose("by-task", String(writer));
  const of = (item) => [data.pairs[item[pairOf]].writer, data.pairs[item[pairOf]].party].includes(writer);
  check("the filter by process", shown(), sum(items.filter(of)));
  await choose("by-phase", String(some[phaseOf]));
  check("both filters", shown(), sum(items.filter((item) => of(item) && item[phaseOf] === some[phaseOf])));
  $("clear").click();
  const cause = data.causes[some[causeOf]];
  const button = [...$("causes").children].find((one) => one.textContent.startsWith(`${cause} (`));
  button.click();
  await settle();
  check("a cause is left out", shown(), sum(items.filter((item) => item[causeOf] !== some[causeOf])));
  check("its button says so", button.getAttribute("aria-pressed"), "false");
  button.click();
  await settle();

  // Time.
  const all = $("status").textContent;
  $("zoom-in").click();
  $("zoom-in").click();
  await settle();
  check("zoom shows fewer", shown() <= data.failures && $("status").textContent !== all, true);
  const zoomed = $("status").textContent;
  press("ArrowRight", { shiftKey: true });
  check("shift and an arrow move", $("status").textContent !== zoomed, true);
  press("0");
  await settle();
  check("all of it", $("status").textContent, all);

  // One failure after the other.
  press("ArrowRight");
  check("an arrow chooses the first failure", details()[binned ? "failures" : "failure"].split(" ")[0], String((binned ? n(items[0]) : items[0][10]).toLocaleString(binned ? "en-US" : "en-GB", { useGrouping: binned })));
  check("its file is said", details().file, data.files[items[0][fileOf]].name);
  press("Escape");
  check("none is chosen", $("details").childElementCount, 0);

  // Hovering.
  const box = chart.getBoundingClientRect();
  let tip = "";
  for (let y = 4; y < box.height - 26 && tip === ""; y += 8) {
    for (let x = 0; x < box.width && tip === ""; x += 4) {
      chart.dispatchEvent(new window.PointerEvent("pointermove", { clientX: box.left + x, clientY: box.top + y }));
      if (!$("tip").hidden) tip = $("tip").textContent;
    }
  }
  check("hovering says the cause", data.causes.some((name) => tip.includes(`cause${name}`)), true);

  // Sorting.
  const column = title($("list"), binned ? "failures" : "bytes");
  const place = [...column.closest("tr").cells].indexOf(column.closest("th"));
  const numbers = () => rows().map((row) => Number(row[place].replaceAll(",", "")));
  const byCause = title($("list"), "cause");
  const causeColumn = byCause.closest("th").cellIndex;
  byCause.click();
  check("the list sorts by words", rows().map((row) => row[causeColumn]), rows().map((row) => row[causeColumn]).sort());
  column.click();
  check("the list sorts", numbers(), numbers().sort((a, b) => a - b));
  column.click();
  check("the list sorts down", numbers(), numbers().sort((a, b) => b - a));
  const table = [...page.querySelectorAll("table:not(#list)")].find((one) => title(one, "failures"));
  const cells = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[2].textContent));
  title(table, "failures").click();
  check("a table of the report sorts", cells(), cells().sort((a, b) => a - b));
  check("and says so", title(table, "failures").closest("th").getAttribute("aria-sort"), "ascending");
  title(table, "failures").click();
  check("and down", cells(), cells().sort((a, b) => b - a));

  // Of several hosts each failure says whose it is.
  const hosts = [...new Set(data.files.map((one) => one.host).filter((host) => host !== undefined))];
  const ofHost = title($("list"), "host")?.closest("th").cellIndex;
  check("a column of hosts, if they are several", ofHost !== undefined, hosts.length > 1);
  if (hosts.length > 1) {
    check("with names", rows().every((row) => hosts.includes(row[ofHost]) && !row.some((cell) => cell.endsWith(` on ${row[ofHost]}`))), true);
  }

  // Without a mouse.
  const controls = [...page.querySelectorAll("button, select, canvas, nav a, #list tbody tr, pre")];
  const unreachable = controls.filter((control) => {
    control.focus();
    return control.checkVisibility() && (page.activeElement !== control || control.tabIndex < 0);
  });
  check("each control takes the focus", unreachable.map((control) => control.outerHTML), []);
  const nameless = controls.filter((control) => control.matches("button, select, canvas")
    && (control.getAttribute("aria-label") ?? control.labels?.[0]?.textContent ?? control.textContent).trim() === "");
  check("each control has a name", nameless.map((control) => control.outerHTML), []);
  check("no control goes before its turn", page.querySelectorAll('[tabindex]:not([tabindex="0"])').length, 0);
  const outlined = () => window.getComputedStyle(page.activeElement).outlineStyle;
  chart.focus();
  check("the focus can be seen", outlined() !== "none", true);
  const second = $("list").tBodies[0].rows[1] ?? $("list").tBodies[0].rows[0];
  const [when] = [...second.cells].map((cell) => cell.textContent);
  second.focus();
  second.dispatchEvent(new window.KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  await settle(200);
  check("Enter chooses a row", $("details").childElementCount, 1);
  check("which is marked", page.querySelector("#list tr[aria-current]")?.cells[0].textContent, when);
  check("and keeps the focus", page.activeElement === page.querySelector("#list tr[aria-current]"), true);
  press("Escape");
  press("0");
  await settle(200);

  // Light, dark, paper.
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  results.push(`theme ${dark ? "dark" : "light"}`);
  const color = (name) => {
    const probe = page.createElement("i");
    probe.style.color = `var(--${name})`;
    page.body.append(probe);
    const [r, g, b] = window.getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
    probe.remove();
    const linear = [r, g, b].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  // As WCAG 2 has it: 4.5 for text, 3 for marks.
  const contrast = (one, other) => {
    const [low, high] = [color(one), color(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const pale = (theme) => ["text", "quiet", "link", "danger"]
    .flatMap((name) => ["ground", "panel", "stripe"].map((ground) => [name, ground, contrast(name, ground)]))
    .filter(([, , found]) => found < 4.5)
    .concat(data.causes.map((_, n) => [`c${n}`, "ground", contrast(`c${n}`, "ground")]).filter(([, , found]) => found < 3))
    .map(([name, ground, found]) => `${theme}: ${name} on ${ground} ${found.toFixed(2)}`);
  check("the ground is that of the theme", color("ground") < 0.5, dark);
  check("all can be read", pale("screen"), []);
  const corner = () => {
    const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    copy.drawImage(chart, chart.width - 2, chart.height - 2, 1, 1, 0, 0, 1, 1);
    return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const ground = () => window.getComputedStyle(page.documentElement).getPropertyValue("--ground").trim();
  const hex = (rgb) => `#${rgb.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  check("the chart has it, too", hex(corner()), ground());
  window.dispatchEvent(new window.Event("beforeprint"));
  check("paper is white", [ground(), hex(corner())], ["#ffffff", "#ffffff"]);
  check("all can be read on paper", pale("paper"), []);
  window.dispatchEvent(new window.Event("afterprint"));
  check("and the theme is back", [color("ground") < 0.5, hex(corner())], [dark, ground()]);
  const wide = page.documentElement;
  check("nothing is wider than the page", wide.scrollWidth <= wide.clientWidth, true);

  // Nothing of a log is more than text.
  check("no image, frame, link out or form", page.querySelectorAll("img, iframe, object, embed, form, link, a:not([href^='#']), [onerror], [onclick], [style*='url']").length, 0);
  check("two scripts: the data and its own", page.scripts.length, 2);
  check("nothing hostile ran", [typeof window.hostile, page.title], ["undefined", "Failed page-cache invalidation under direct I/O"]);
  const text = page.body.innerText;
  check("no character turns the others around", /[\u202a-\u202e\u2066-\u2069\u200e\u200f]/.test(page.documentElement.outerHTML), false);
  for (const part of JSON.parse(window.decodeURIComponent(location.hash.slice(1)) || "[]")) {
    check(`${part} is text`, text.includes(part), true);
  }
  for (const [name, time] of [["filter", () => choose("rows", "cause")], ["draw", () => press("+")]]) {
    const begin = performance.now();
    await time();
    results.push(`time ${name} ${Math.round(performance.now() - begin)} ms`);
  }
  const [load] = window.performance.getEntriesByType("navigation");
  results.push(`time load ${Math.round(load.domComplete)} ms`);
}

document.getElementById("page").addEventListener("load", async (event) => {
  const { contentDocument, contentWindow } = event.target;
  try {
    await settle();
    await run(contentDocument, contentWindow);
    results.push("done");
  } catch (error) {
    results.push(`FAILED ${error} ${error.stack}`);
  }
  document.getElementById("results").textContent = results.join("\n");
});
