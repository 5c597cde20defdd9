// Any two rows, chosen by the reader: difference, interval, second opinion, classes, and the videos that flipped.

const FLIPS_AT_ONCE = 24, CLASSES_AT_ONCE = 12;

// {new, base, seeds, set} of the seeds that both rows ran and whose answers can be read, or {why} in words.
function paired(rowNew, rowBase) {
  const runsOf = row => new Map(row.seeds.map((seed, i) => [seed, runById.get(row.runs[i])]));
  const ofNew = runsOf(rowNew), ofBase = runsOf(rowBase);
  const common = [...ofNew.keys()].filter(seed => ofBase.has(seed)).sort((a, b) => a - b);
  if (!common.length) return {why: `The two rows share no seed: new ran ${[...ofNew.keys()].join(", ")}, base ran ${[...ofBase.keys()].join(", ")}.`};
  const readable = common.filter(seed => ofNew.get(seed).set !== undefined && ofBase.get(seed).set !== undefined);
  if (!readable.length) {
    const id = [...common.map(s => ofNew.get(s).id), ...common.map(s => ofBase.get(s).id)].find(i => data.problems[i]);
    return {why: `The answers on the test videos cannot be read: ${data.problems[id]}`};
  }
  const runs = readable.flatMap(seed => [ofNew.get(seed), ofBase.get(seed)]);
  const {refused, noted} = differences(runs, rowNew.table === rowBase.table ? allowedIn.get(rowNew.table) ?? [] : []);
  if (refused.length) return {why: `Not comparable: ${refused.join("; ")}.`};
  if (new Set(runs.map(run => run.set)).size > 1) return {why: "Not comparable: the runs were tested on different videos."};
  return {
    noted, seeds: readable, left: common.length - readable.length, set: data.sets[runs[0].set],
    newRuns: readable.map(seed => ofNew.get(seed)), baseRuns: readable.map(seed => ofBase.get(seed)),
  };
}

// "recipe.lr 0.002 or 0.004" for every field in which the runs differ, by the rule of harness/methods/fairness.py: what
// forbids the comparison, and what is worth a note. `allowed`: what one table declares that its rows may differ in.
function differences(runs, allowed) {
  const facts = runs.map(run => data.pool[run.fair]), refused = [], noted = [];
  for (const field of new Set(facts.flatMap(Object.keys))) {
    const [kind, word, shared] = data.rules[field];
    let values = [...new Set(facts.map(f => f[field] ?? "absent"))];
    if (shared) values = values.filter(value => value !== "absent");
    if (values.length < 2 || kind === "is") continue;
    const forbids = kind === "must" && !allowed.includes(word);
    if (forbids) refused.push(`${field} ${values.join(" or ")}`);
    else if (kind !== "said") noted.push(`${field} ${values.join(" or ")}`);
  }
  return {refused, noted};
}

function compareRows(rowNew, rowBase) {
  const pair = paired(rowNew, rowBase);
  if (pair.why) return [el("p", {class: "verdict"}, pair.why)];
  const newSV = pair.newRuns.map(rightVideos), baseSV = pair.baseRuns.map(rightVideos);
  const result = pairedDifference(newSV, baseSV);
  return [
    ...headline(rowNew, rowBase, result, newSV, baseSV),
    ...remarks(pair, rowNew, rowBase, result, identical(newSV, baseSV)),
    el("div", {class: "columns"},
      el("section", {}, el("h3", {}, "Seed by seed"), seedTable(pair, newSV, baseSV)),
      el("section", {}, el("h3", {}, "Classes, the largest difference first"), ...classTable(pair.set, newSV, baseSV))),
    ...flipSection(rowNew, rowBase, pair.set, newSV, baseSV),
  ];
}

function headline(rowNew, rowBase, result, newSV, baseSV) {
  const {difference, low, high, p, S, V} = result, said = data.words.verdicts[verdict(result)];
  const same = identical(newSV, baseSV);
  const interval = low === null ? "no interval" : `95 % interval ${signed(low)} to ${signed(high)}, p ${pValue(p)}`;
  const least = result.errors && !same ? detectable(result.errors) : null;
  const words = el("p", {class: "verdict"}, el("strong", {}, said[0].toUpperCase() + said.slice(1)), ": ",
    el("b", {}, rowLabel(rowNew)), " against ", el("b", {}, rowLabel(rowBase)), `: ${signed(difference)} points of top-1 (${interval}).`);
  words.dataset.verdict = said;
  const numbers = {difference, low, high, p, least};
  for (const [name, value] of Object.entries(numbers)) if (value !== null) words.dataset[name] = value;
  return [words, intervalChart({difference, low, high, label: `Difference ${signed(difference)} points, ${interval}`}),
    el("p", {class: "quiet"}, `${S} seed${S === 1 ? "" : "s"} × ${V} test videos.`,
      least === null ? "" : ` A true difference of ${fixed(least)} points would be found four times of five.`)];
}

const identical = (newSV, baseSV) => newSV.every((right, s) => right.every((r, v) => r === baseSV[s][v]));

function remarks(pair, rowNew, rowBase, result, same) {
  const notes = [], said = data.words.cautions;
  if (result.S === 1) notes.push(said.one_seed);
  if (result.S === 2) notes.push(said.two_seeds);
  if (result.V > 1 && result.V < 30) notes.push(said.few_videos.replace("{n}", result.V));
  if (same) notes.push(said.identical);
  if (pair.left) notes.push(`${pair.left} common seed${pair.left === 1 ? " is" : "s are"} left out: the answers cannot be read.`);
  const unpaired = Math.max(rowNew.seeds.length, rowBase.seeds.length) - pair.seeds.length - pair.left;
  if (unpaired > 0) notes.push("Only the seeds that both rows ran count, so the difference may not be that of the two means in the table.");
  if (pair.noted.length) notes.push(`The runs differ in ${pair.noted.join("; ")}.`);
  return notes.length ? [el("ul", {class: "notes"}, notes.map(note => el("li", {}, note)))] : [];
}

const configOf = run => Object.fromEntries(Object.entries(data.pool[run.config]).map(([key, index]) => [key, data.pool[index]]));

const percent = right => 100 * mean(right);

function seedTable(pair, newSV, baseSV) {
  return simpleTable(["seed", "new, %", "base, %", "difference", "only new right", "only base right", "McNemar p"],
    pair.seeds.map((seed, s) => {
      const test = mcnemar(newSV[s], baseSV[s]), a = percent(newSV[s]), b = percent(baseSV[s]);
      return [String(seed), runLink(pair.newRuns[s].id, fixed(a)), runLink(pair.baseRuns[s].id, fixed(b)), signed(a - b),
        String(test.onlyNew), String(test.onlyBase), pValue(test.p)];
    }));
}

function classTable(set, newSV, baseSV) {
  const members = new Map();
  set.labels.forEach((label, v) => { if (!members.has(label)) members.set(label, []); members.get(label).push(v); });
  const rows = [...members].map(([label, videos]) => ({label, videos, ...pairedDifference(newSV, baseSV, videos)}));
  holm(rows.map(row => row.p)).forEach((p, i) => { rows[i].adjusted = p; });
  rows.sort((a, b) => Math.abs(b.difference) - Math.abs(a.difference));
  const share = (SV, videos) => mean(SV.map(right => 100 * mean(videos.map(v => right[v]))));
  const lines = rows.map(row => [
    className(set, row.label), String(row.videos.length), fixed(share(newSV, row.videos)), fixed(share(baseSV, row.videos)),
    signed(row.difference), row.low === null ? "–" : `${signed(Math.max(-100, row.low))} to ${signed(Math.min(100, row.high))}`, pValue(row.adjusted)]);
  const heads = ["class", "videos", "new, %", "base, %", "difference", "95 % interval", "p (Holm)"];
  const table = simpleTable(heads, lines.slice(0, CLASSES_AT_ONCE));
  if (lines.length <= CLASSES_AT_ONCE) return [table];
  const more = el("button", {type: "button", onclick: () => { table.replaceWith(simpleTable(heads, lines)); more.remove(); }}, `Show all ${lines.length} classes`);
  return [table, more];
}

function flipSection(rowNew, rowBase, set, newSV, baseSV) {
  const flips = flippedVideos(newSV, baseSV);
  const gained = flips.filter(f => f.flip === "gained").length;
  // Videos with frames first, as decided within each kind as before.
  const shown = flips.sort((a, b) => (set.frames[set.videos[b.v]] ? 1 : 0) - (set.frames[set.videos[a.v]] ? 1 : 0));
  const list = el("ol", {class: "flips"}), more = el("button", {type: "button"});
  let count = 0;
  const grow = step => {
    list.append(...shown.slice(count, count + step).map(flip => flipItem(flip, rowNew, rowBase, set, newSV.length)));
    count = Math.min(shown.length, count + step);
    more.textContent = `Show ${shown.length - count} more`;
    more.hidden = count >= shown.length;
  };
  more.addEventListener("click", () => grow(shown.length));
  grow(FLIPS_AT_ONCE);
  const kept = Object.keys(set.frames).length;
  const frames = kept ? `Frames are kept for the ${kept} videos that flip most often against the tables' first rows.` : set.missing;
  return [el("h3", {}, "Videos that flipped"),
    el("p", {class: "quiet"}, `${gained} gained, ${flips.length - gained} lost (right with more than half of the seeds of one row, wrong with more than half of the other's). ${frames}`),
    list, more];
}

function flipItem(flip, rowNew, rowBase, set, S) {
  const video = set.videos[flip.v], place = set.chosen[video], label = set.labels[flip.v];
  const said = row => (place === undefined || row.answers[place] === null ? "" : `, mostly ${className(set, row.answers[place])}`);
  const frames = set.frames[video];
  return el("li", {class: flip.flip}, frames ? el("img", {src: frames, alt: `Eight frames of ${video}`, loading: "lazy"}) : null,
    el("p", {}, el("b", {}, flip.flip), ` ${video}, class ${className(set, label)}. Right with ${flip.rightNew} of ${S} seeds of new`,
      `${said(rowNew)}; ${flip.rightBase} of ${S} of base${said(rowBase)}.`));
}

function startCompare() {
  const [selectNew, selectBase] = [byId("compare-new"), byId("compare-base")];
  const rows = data.rows.map((row, index) => ({row, index}));
  if (rows.length < 2) {
    byId("compare-result").append(el("p", {class: "quiet"}, "Fewer than two rows have records: nothing to compare yet."));
    return;
  }
  for (const select of [selectNew, selectBase]) fillRowSelect(select, rows);
  const [first, second] = data.pair ?? [1, 0];
  selectNew.value = first;
  selectBase.value = second;
  const show = () => byId("compare-result").replaceChildren(...compareRows(data.rows[selectNew.value], data.rows[selectBase.value]));
  selectNew.addEventListener("change", show);
  selectBase.addEventListener("change", show);
  byId("compare-swap").addEventListener("click", () => {
    [selectNew.value, selectBase.value] = [selectBase.value, selectNew.value];
    show();
  });
  whenSeen(byId("compare"), show);
}
