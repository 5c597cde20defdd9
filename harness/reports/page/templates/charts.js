// Line charts and intervals as inline SVG. Colours come from the style sheet (classes line-0 … line-5).

const COLOURS = 6;
const chartWidth = () => (innerWidth < 640 ? 400 : 720); // letters keep their size on a phone

function ticks(low, high, wanted = 5) {
  const raw = (high - low || 1) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
  const list = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) list.push(Number(t.toPrecision(12)));
  return list;
}

// series: [{name, lines: [[y by epoch]], look}]; thin lines are seeds, the bold one is their mean.
function lineChart({series, yLabel, label}) {
  const W = chartWidth(), H = 340, left = 52, right = 12, top = 12, bottom = 42;
  const all = series.flatMap(s => s.lines.flat()).filter(y => y !== null);
  if (!all.length) return el("p", {class: "quiet"}, "No curves are kept for these runs.");
  const epochs = Math.max(...series.flatMap(s => s.lines.map(line => line.length)));
  const yTicks = ticks(Math.min(...all), Math.max(...all));
  const low = Math.min(yTicks[0], ...all), high = Math.max(yTicks.at(-1), ...all);
  const x = e => left + (W - left - right) * (epochs === 1 ? 0.5 : (e - 1) / (epochs - 1));
  const y = v => H - bottom - (H - top - bottom) * (v - low) / (high - low || 1);
  const path = line => line.map((v, i) => (v === null ? "" : `${i && line[i - 1] !== null ? "L" : "M"}${x(i + 1).toFixed(1)},${y(v).toFixed(1)}`)).join("");
  const chart = svg("svg", {viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": label});
  for (const t of yTicks) {
    chart.append(svg("line", {x1: left, x2: W - right, y1: y(t), y2: y(t), class: "grid"}),
      svg("text", {x: left - 6, y: y(t) + 4, "text-anchor": "end"}, String(t)));
  }
  for (const t of ticks(1, epochs, 8).filter(Number.isInteger)) {
    chart.append(svg("text", {x: x(t), y: H - bottom + 18, "text-anchor": "middle"}, String(t)));
  }
  chart.append(svg("text", {x: (left + W - right) / 2, y: H - 6, "text-anchor": "middle"}, "epoch"),
    svg("text", {x: 13, y: (H - bottom + top) / 2, "text-anchor": "middle", transform: `rotate(-90 13 ${(H - bottom + top) / 2})`}, yLabel));
  for (const {name, lines, look} of series) {
    const group = svg("g", {class: `line-${look % COLOURS} dash-${Math.floor(look / COLOURS) % 3}`}, svg("title", {}, name));
    if (lines.length > 1) lines.forEach(line => group.append(svg("path", {d: path(line), class: "seed"})));
    group.append(svg("path", {d: path(meanLine(lines)), class: "mean"}));
    chart.append(group);
  }
  return chart;
}

function meanLine(lines) {
  const length = Math.max(...lines.map(line => line.length));
  return Array.from({length}, (_, i) => {
    const values = lines.map(line => line[i]).filter(v => v !== null && v !== undefined);
    return values.length ? mean(values) : null;
  });
}

// One difference and its interval on a line with 0 in it.
function intervalChart({difference, low, high, label}) {
  const W = chartWidth(), H = 74, side = 24, middle = 26;
  const ends = [0, difference, low ?? 0, high ?? 0], span = Math.max(...ends) - Math.min(...ends) || 1;
  const from = Math.min(...ends) - span * 0.12, to = Math.max(...ends) + span * 0.12;
  const x = v => side + (W - 2 * side) * (v - from) / (to - from);
  const chart = svg("svg", {viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": label},
    svg("line", {x1: side, x2: W - side, y1: H - 26, y2: H - 26, class: "axis"}),
    svg("line", {x1: x(0), x2: x(0), y1: 6, y2: H - 26, class: "zero"}));
  for (const t of ticks(from, to, 6)) {
    chart.append(svg("line", {x1: x(t), x2: x(t), y1: H - 26, y2: H - 21, class: "axis"}),
      svg("text", {x: x(t), y: H - 6, "text-anchor": "middle"}, t === 0 ? "0" : signed(t, Number.isInteger(t) ? 0 : 1)));
  }
  if (low !== null) chart.append(svg("line", {x1: x(low), x2: x(high), y1: middle, y2: middle, class: "interval"}));
  chart.append(svg("circle", {cx: x(difference), cy: middle, r: 6, class: "dot"}));
  return chart;
}
