// The controls.
const $ = (id) => document.getElementById(id);

function options(select, all, entries) {
  select.append(element("option", all, { value: "" }));
  for (const [value, text] of entries) select.append(element("option", text, { value: String(value) }));
}

// A list can be long; what is rare is found by the rows and the table.
const OFFERED = 500;

function offer() {
  const offered = (entries, name) => entries
    .filter(([number]) => number !== null)
    .slice(0, OFFERED)
    .map(([number, n]) => [number, `${name(number)} (${count(n)})`]);
  options($("by-file"), "all", offered(ranked(items, (i) => i.file), file));
  const tasks = (i) => [...new Set([writerOf(i), partyOf(i)])].filter((n) => n !== null);
  options($("by-task"), "all", offered(ranked(items, tasks), task));
  options($("by-phase"), "all", offered(ranked(items, (i) => i.phase), (n) => data.phases[n]));
  const number = (select) => (select.value === "" ? null : Number(select.value));
  for (const [id, key] of [["by-file", "file"], ["by-task", "task"], ["by-phase", "phase"]]) {
    $(id).addEventListener("change", (event) => {
      chosen[key] = number(event.target);
      filter();
    });
  }
  for (const [cause, n] of ranked(items, (i) => i.cause)) offerCause(cause, n);
  $("rows").addEventListener("change", (event) => {
    rowsBy = event.target.value;
    changed();
  });
  $("clear").addEventListener("click", () => {
    Object.assign(chosen, { file: null, task: null, phase: null, causes: new Set(data.causes.keys()) });
    for (const id of ["by-file", "by-task", "by-phase"]) $(id).value = "";
    for (const button of $("causes").children) button.setAttribute("aria-pressed", "true");
    filter();
  });
}

function offerCause(cause, n) {
  const button = element("button", undefined, { type: "button", "aria-pressed": "true" });
  const swatch = element("span", undefined, { class: "swatch" });
  swatch.style.background = `var(--c${cause})`;
  button.append(swatch, `${data.causes[cause]} (${count(n)})`);
  button.addEventListener("click", () => {
    const on = !chosen.causes.delete(cause);
    if (on) chosen.causes.add(cause);
    button.setAttribute("aria-pressed", String(on));
    filter();
  });
  $("causes").append(button);
}

function zoomAll() {
  setView(whole.from, whole.to);
}

function keys(event) {
  const acts = {
    ArrowLeft: () => (event.shiftKey ? pan(-0.2) : step(-1)),
    ArrowRight: () => (event.shiftKey ? pan(0.2) : step(1)),
    "+": () => zoom(0.5, selected?.t),
    "=": () => zoom(0.5, selected?.t),
    "-": () => zoom(2, selected?.t),
    0: zoomAll,
    Home: zoomAll,
    Escape: () => select(null),
  };
  if (!Object.hasOwn(acts, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  acts[event.key]();
}

function pointer() {
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    from = { x: event.offsetX, view: { ...view }, moved: false };
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from !== null && Math.abs(event.offsetX - from.x) > 3) from.moved = true;
    if (from?.moved) {
      const by = (from.x - event.offsetX) / (width - label) * (from.view.to - from.view.from);
      const length = from.view.to - from.view.from;
      const begin = Math.min(Math.max(from.view.from + by, whole.from), whole.to - length);
      setView(begin, begin + length);
    }
    hover(from?.moved ? null : event);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from !== null && !from.moved) select(nearest(event.offsetX, event.offsetY));
    from = null;
  });
  canvas.addEventListener("pointercancel", () => { from = null; });
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("dblclick", (event) => zoom(0.25, timeAt(event.offsetX)));
  canvas.addEventListener("wheel", (event) => {
    // The wheel alone scrolls the page.
    if (event.ctrlKey || event.metaKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event.offsetX));
    else if (event.deltaX !== 0 || event.shiftKey) pan(Math.sign(event.deltaX || event.deltaY) * 0.1);
    else return;
    event.preventDefault();
  }, { passive: false });
}

function hover(event) {
  const item = event === null || event.offsetX < label ? null : nearest(event.offsetX, event.offsetY);
  tip.hidden = item === null;
  if (item === null) return;
  tip.replaceChildren(factsList(item));
  const left = Math.min(event.offsetX + 14, canvas.clientWidth - tip.offsetWidth - 6);
  tip.style.left = `${Math.max(left, 6)}px`;
  tip.style.top = `${event.offsetY + 16}px`;
}

function say() {
  const visible = inView();
  const [day, from] = moment(view.from);
  const [, to] = moment(view.to);
  $("status").textContent = `${failuresOf(sum(visible))} of ${count(data.failures)} shown, `
    + `${day} ${from} to ${to} UTC (${duration(view.to - view.from)})`;
  $("details").replaceChildren(...(selected === null ? [] : [factsList(selected)]));
}

function note() {
  if (!binned) return;
  const apart = (what, list) => `${count(list.length - 1)} ${what}`;
  const note = `These are ${failuresOf(data.failures)}, too many to be shown one by one: they are counted in `
    + `${count(items.length)} bins of ${duration(data.width_us)}, by ${apart("files", data.files)}, `
    + `${apart("pairs of processes", data.pairs)}, cause and phase. The higher a bar, the more failures (logarithmic); where its top is red, some are stale. `
    + "Ranges and single failures are in the log.";
  const rest = data.files[OTHERS].failures;
  const tasks = sum(items.filter((item) => item.pair === OTHERS));
  $("note").textContent = note
    + (rest > 0 ? ` ${failuresOf(rest)} of further files are counted together.` : "")
    + (tasks > 0 ? ` ${failuresOf(tasks)} of further processes are counted together; no choice of a process shows them.` : "");
  $("note").hidden = false;
}

function paper(on) {
  document.documentElement.classList.toggle("paper", on);
  readColors();
  draw();
}

let filling;
function start() {
  document.querySelectorAll("main section table:not(#list)").forEach(sortable);
  if (items.length === 0) {
    $("timeline").hidden = true;
    document.querySelector('nav a[href="#timeline"]').parentElement.hidden = true;
    return;
  }
  $("explorer").hidden = false;
  note();
  offer();
  makeList();
  const buttons = [["zoom-in", () => zoom(0.5)], ["zoom-out", () => zoom(2)], ["pan-left", () => pan(-0.25)],
    ["pan-right", () => pan(0.25)], ["zoom-all", zoomAll]];
  for (const [id, act] of buttons) $(id).addEventListener("click", act);
  canvas.addEventListener("keydown", keys);
  pointer();
  readColors();
  watchers.push(layOut, say, redraw, markList, () => {
    // A list of a large log is not sorted for each step of a movement.
    clearTimeout(filling);
    filling = setTimeout(fillList, 60);
  });
  layOut();
  say();
  fillList();
  draw();
  new ResizeObserver(redraw).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paper(false));
  window.addEventListener("beforeprint", () => paper(true));
  window.addEventListener("afterprint", () => paper(false));
}
start();
