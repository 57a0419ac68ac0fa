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
  title($("list"), "cause").click();
  check("the list sorts by words", rows().map((row) => row[binned ? 2 : 5]), rows().map((row) => row[binned ? 2 : 5]).sort());
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

  // Nothing of a log is more than text.
  check("no image, frame, link out or form", page.querySelectorAll("img, iframe, object, embed, form, link, a:not([href^='#']), [onerror], [onclick], [style*='url']").length, 0);
  check("two scripts: the data and its own", page.scripts.length, 2);
  check("nothing hostile ran", [typeof window.hostile, page.title], ["undefined", "Failed page-cache invalidation under direct I/O"]);
  const text = page.body.innerText;
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
