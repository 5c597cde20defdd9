// The list of all runs, a hundred at a time, and the page of one run.

const RUNS_AT_ONCE = 100;

function asked(run) { return run.asked === undefined ? ["", "", ""] : data.pool[run.asked]; }

function runFacts(run) {
  const [experiment, row, profile] = asked(run);
  const network = run.config === undefined ? {} : configOf(run).network;
  return {
    id: run.id, experiment, row, profile, seed: run.seed ?? null, model: network.model ?? network.backbone ?? "",
    aggregation: network.aggregation?.name ?? network.aggregation ?? "average", top1: metric(run, "top1"), status: run.status,
    records: run.source === "baselines" ? "shipped" : "yours", created: (run.times?.created ?? "").slice(0, 10),
  };
}

const RUN_COLUMNS = [["id", "run"], ["experiment", "experiment"], ["row", "row"], ["profile", "profile"], ["seed", "seed"],
  ["model", "model"], ["aggregation", "aggregation"], ["top1", "top-1, %"], ["status", "status"], ["records", "records"], ["created", "date"]];
let allFacts = null, foundFacts = [], shownRuns = 0, runOrder = {key: null, sign: 1};

function findRuns() {
  const words = byId("runs-find").value.toLowerCase().split(/\s+/).filter(Boolean);
  allFacts ??= data.runs.map(runFacts).map(facts => ({facts, text: Object.values(facts).join(" ").toLowerCase()}));
  foundFacts = allFacts.filter(({text}) => words.every(word => text.includes(word))).map(({facts}) => facts);
  const {key, sign} = runOrder;
  if (key) foundFacts.sort((a, b) => compareFacts(a[key], b[key], sign));
  byId("runs-count").textContent = `${foundFacts.length.toLocaleString("en")} of ${data.runs.length.toLocaleString("en")} runs`;
  byId("runs-table").tBodies[0].replaceChildren();
  shownRuns = 0;
  moreRuns();
}

function compareFacts(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0);
}

function moreRuns() {
  const next = foundFacts.slice(shownRuns, shownRuns + RUNS_AT_ONCE);
  byId("runs-table").tBodies[0].append(...next.map(facts => el("tr", {class: facts.status},
    ...RUN_COLUMNS.map(([key]) => (key === "id" ? el("th", {scope: "row"}, runLink(facts.id))
      : el("td", {class: key === "top1" || key === "seed" ? "figure" : null}, key === "top1" ? fixed(facts.top1) : String(facts[key] ?? "–")))))));
  shownRuns += next.length;
  byId("runs-more").hidden = shownRuns >= foundFacts.length;
  byId("runs-more").textContent = `Show more (${(foundFacts.length - shownRuns).toLocaleString("en")} left)`;
}

function orderRuns(key, head) {
  runOrder = {key, sign: runOrder.key === key ? -runOrder.sign : 1};
  for (const other of byId("runs-table").tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", runOrder.sign > 0 ? "ascending" : "descending");
  findRuns();
}

function startRuns() {
  const heads = RUN_COLUMNS.map(([key, name]) => {
    const head = el("th", {scope: "col"});
    head.append(el("button", {type: "button", class: "sort", onclick: () => orderRuns(key, head)}, name));
    return head;
  });
  byId("runs-table").tHead.append(el("tr", {}, heads));
  byId("runs-find").addEventListener("input", findRuns);
  byId("runs-more").addEventListener("click", moreRuns);
  whenSeen(byId("runs"), findRuns);
}

// ---- the page of one run

function definitions(facts) {
  return el("dl", {class: "facts"}, Object.entries(facts).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const said = value => (value === null ? "none" : Array.isArray(value) ? value.join(", ") || "none" : String(value));

// Nested settings as dotted names.
function spoken(object, prefix = "") {
  return Object.assign({}, ...Object.entries(object).map(([key, value]) => {
    const nested = value !== null && typeof value === "object" && !Array.isArray(value);
    return nested ? spoken(value, `${prefix}${key}.`) : {[prefix + key]: said(value)};
  }));
}

function runPage(id) {
  const run = runById.get(id);
  const back = el("p", {}, el("a", {href: "#runs"}, "← all runs"));
  if (!run) return [back, el("h1", {tabindex: -1}, `No run ${id}`), el("p", {}, "This page holds no run of that id. It may have been written before the run finished: make the page again.")];
  const {experiment, row, profile} = runFacts(run);
  const title = row ? `${row}, seed ${run.seed}` : `Run ${run.id}`;
  const parts = [back, el("h1", {tabindex: -1}, title),
    el("p", {class: "caption"}, el("code", {}, run.id), ` · ${run.status} · `, run.source === "baselines" ? "shipped baseline" : "your own run",
      experiment ? ` · first asked for by ${experiment}, profile ${profile}` : "", ` · `, el("code", {}, `harness show ${run.id}`)), standsIn(run)];
  if (run.reason) parts.push(el("p", {class: "verdict"}, run.reason));
  if (run.traceback) parts.push(el("pre", {}, run.traceback));
  if (run.status === "done") parts.push(...measured(run));
  if (run.config !== undefined) parts.push(...declared(run));
  return parts;
}

function standsIn(run) {
  const rows = data.rows.filter(row => row.runs.includes(run.id) && tableTitle.has(row.table));
  if (!rows.length) return el("p", {class: "quiet"}, "Stands in no table of this page.");
  const links = rows.flatMap((row, i) => [i ? "; " : "", el("a", {href: `#table-${row.table}`}, tableTitle.get(row.table)), `: ${rowLabel(row)}`]);
  return el("p", {}, "Stands in ", ...links, ".");
}

function measured(run) {
  const numbers = (names, values) => Object.fromEntries(names.map((name, i) => [name, values[i]]).filter(([, v]) => v !== null).map(([name, v]) => [name, tidyFully(v)]));
  const lines = name => [{name, look: 0, lines: [run.curve?.[data.curve.indexOf(name)] ?? []]}];
  return [
    el("div", {class: "columns"},
      el("section", {}, el("h2", {}, "Metrics"), definitions(numbers(data.metrics, run.metrics))),
      el("section", {}, el("h2", {}, "Cost"), definitions(numbers(data.cost, run.cost)))),
    el("h2", {}, "Learning curve"),
    el("div", {class: "columns"}, ["val_top1", "loss"].map(name => lineChart({series: lines(name).filter(s => s.lines[0].length), yLabel: CURVE_NAMES[name], label: `${CURVE_NAMES[name]} by epoch`}))),
    el("h2", {}, "Accuracy by class"), perClass(run)];
}

function perClass(run) {
  const right = rightVideos(run);
  if (!right) return el("p", {class: "quiet"}, data.problems[run.id]);
  const set = data.sets[run.set], counts = new Map();
  set.labels.forEach((label, v) => {
    const count = counts.get(label) ?? [0, 0];
    counts.set(label, [count[0] + right[v], count[1] + 1]);
  });
  return el("div", {class: "bars"}, [...counts].sort(([a], [b]) => a - b).map(([label, [hits, all]]) => el("div", {},
    el("span", {}, className(set, label)), el("span", {class: "bar-track"}, el("span", {class: "bar-fill", style: `width:${100 * hits / all}%`})),
    el("span", {class: "figure"}, `${hits}/${all}`))));
}

function declared(run) {
  const {network, recipe, dataset, numerics, pretraining, start, ...rest} = configOf(run);
  const part = (title, object) => el("section", {}, el("h3", {}, title), definitions(spoken(object)));
  const parts = [el("h2", {}, "Configuration"), el("div", {class: "columns"}, part("Network", network), part("Recipe", recipe),
    part("Sampling and input", {...rest, seed: run.seed}), part("Numerics", numerics)),
    ...[["Dataset", dataset], ["Start", start ?? pretraining]].filter(([, object]) => object).map(([title, object]) =>
      el("details", {}, el("summary", {}, title), definitions(spoken(object))))];
  for (const {file, source} of run.variants === undefined ? [] : data.pool[run.variants]) {
    parts.push(el("h2", {}, `Variant ${file}`), el("pre", {}, source));
  }
  parts.push(el("h2", {}, "Provenance"), definitions(spoken({...data.pool[run.machine], ...run.times})));
  return parts;
}
