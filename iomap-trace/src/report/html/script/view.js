// The section of time that is shown, the failures that pass the filters, and the one that is chosen.
const first = 0;
const last = items.length > 0 ? items[items.length - 1].t + data.width_us : 0;
const margin = Math.max((last - first) * 0.02, 500);
const whole = { from: first - margin, to: last + margin };
const view = { ...whole };
// No section is shorter than this, in microseconds, and none is longer than the whole.
const SHORTEST = binned ? data.width_us * 4 : 20;

let shown = items;
let selected = null;
const watchers = [];
const changed = () => watchers.forEach((watcher) => watcher());

function setView(from, to) {
  const length = Math.min(Math.max(to - from, SHORTEST), whole.to - whole.from);
  const middle = (from + to) / 2;
  view.from = Math.min(Math.max(middle - length / 2, whole.from), whole.to - length);
  view.to = view.from + length;
  changed();
}

// By `factor` around the moment `at`, which stays where it is.
function zoom(factor, at = (view.from + view.to) / 2) {
  const share = (at - view.from) / (view.to - view.from);
  const length = Math.min(Math.max((view.to - view.from) * factor, SHORTEST), whole.to - whole.from);
  setView(at - share * length, at + (1 - share) * length);
}

// By a share of what is shown.
function pan(share) {
  const by = (view.to - view.from) * share;
  const kept = Math.min(Math.max(view.from + by, whole.from), whole.to - (view.to - view.from));
  setView(kept, kept + view.to - view.from);
}

function filter() {
  shown = items.filter(passes);
  if (selected !== null && !passes(selected)) selected = null;
  changed();
}

// The failures that pass the filters in the section that is shown.
function inView() {
  return shown.slice(firstFrom(shown, view.from - data.width_us), firstFrom(shown, view.to));
}

function select(item) {
  selected = item;
  const edge = (view.to - view.from) * 0.05;
  if (item !== null && (item.t < view.from || item.t > view.to)) {
    const half = (view.to - view.from) / 2;
    setView(item.t - half + edge, item.t + half + edge);
  } else {
    changed();
  }
}

// The next failure that is shown, or the one before; the first in view when none is chosen.
function step(by) {
  if (shown.length === 0) return;
  let place = selected === null ? -1 : shown.indexOf(selected);
  if (place < 0) {
    place = by > 0 ? firstFrom(shown, view.from) : firstFrom(shown, view.to) - 1;
  } else {
    place += by;
  }
  select(shown[Math.min(Math.max(place, 0), shown.length - 1)]);
}
