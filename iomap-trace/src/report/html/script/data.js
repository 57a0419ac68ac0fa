// What there is to show: failures, or bins of them, in the order of time.
const data = JSON.parse(document.getElementById("failures").textContent);
const binned = data.width_us > 0;

// One failure, or a bin of `n`.
const items = binned
  ? data.bins.map(([t, file, pair, cause, phase, n]) => ({ t, file, pair, cause, phase, n }))
  : data.points.map(([t, took, file, pair, cause, phase, outcome, confidence, pos, len, id, run]) => ({
    t, took, file, pair, cause, phase, outcome, confidence, pos, len, id, run, n: 1,
  }));

const OTHERS = 0;
const writerOf = (item) => data.pairs[item.pair].writer;
const partyOf = (item) => data.pairs[item.pair].party;
const POST = data.phases.length - 1;

// What is chosen; null: all of it.
const chosen = { file: null, task: null, phase: null, causes: new Set(data.causes.keys()) };

function passes(item) {
  return chosen.causes.has(item.cause)
    && (chosen.file === null || item.file === chosen.file)
    && (chosen.phase === null || item.phase === chosen.phase)
    && (chosen.task === null || writerOf(item) === chosen.task || partyOf(item) === chosen.task);
}

const sum = (list) => list.reduce((all, item) => all + item.n, 0);

// The first place in `list`, which is in the order of time, that is not before `t`.
function firstFrom(list, t) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].t < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

// How many of a kind, by number, the most frequent first.
function ranked(list, numberOf) {
  const counts = new Map();
  for (const item of list) {
    for (const number of [numberOf(item)].flat()) {
      counts.set(number, (counts.get(number) ?? 0) + item.n);
    }
  }
  return [...counts].sort(([a, m], [b, n]) => n - m || (a ?? -1) - (b ?? -1));
}
