// Learning curves of a table's rows: every seed thin, the mean bold.

const CURVE_NAMES = {val_top1: "top-1 on val, %", train_top1: "top-1 in training, %", loss: "training loss"};
const LONGEST_LEGEND = 24;

function curveSeries(rows, quantity) {
  const column = data.curve.indexOf(quantity);
  return rows.map((row, look) => ({
    name: rowLabel(row), look,
    lines: row.runs.map(id => runById.get(id).curve?.[column]).filter(line => line?.length),
  })).filter(series => series.lines.length);
}

function legend(series) {
  return el("ul", {class: "legend"}, series.map(({name, look}) => el("li", {class: `line-${look % COLOURS} dash-${Math.floor(look / COLOURS) % 3}`},
    svg("svg", {viewBox: "0 0 28 8", "aria-hidden": "true"}, svg("path", {d: "M0,4L28,4", class: "mean"})), name)));
}

function drawCurves() {
  const table = byId("curves-table").value, quantity = byId("curves-what").value;
  const all = data.rows.filter(row => row.table === table), rows = all.slice(0, LONGEST_LEGEND);
  const series = curveSeries(rows, quantity);
  const left = all.length > rows.length ? [el("p", {class: "quiet"}, `The first ${rows.length} of ${all.length} rows are drawn.`)] : [];
  byId("curves-result").replaceChildren(
    lineChart({series, yLabel: CURVE_NAMES[quantity], label: `${CURVE_NAMES[quantity]} by epoch: ${series.map(s => s.name).join(", ")}`}),
    legend(series), ...left);
}

function startCurves() {
  const tables = [...new Set(data.rows.map(row => row.table))];
  if (!tables.length) {
    byId("curves-result").append(el("p", {class: "quiet"}, "No run has finished yet."));
    return;
  }
  byId("curves-table").append(...tables.map(t => el("option", {value: t}, tableTitle.get(t) ?? t)));
  byId("curves-what").append(...data.curve.map(name => el("option", {value: name}, CURVE_NAMES[name])));
  for (const id of ["curves-table", "curves-what"]) byId(id).addEventListener("change", drawCurves);
  whenSeen(byId("curves"), drawCurves);
}
