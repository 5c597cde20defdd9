// The data of the page, and the few helpers that every other script uses.

const data = JSON.parse(document.getElementById("payload").textContent);
const runById = new Map(data.runs.map(run => [run.id, run]));
const byId = id => document.getElementById(id);

// el("p", {class: "x"}, "text", node): text is always text, never HTML.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat());
  return node;
}

const MINUS = "\u2212";
const fixed = (value, digits = 1) =>
  value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", MINUS);
const signed = (value, digits = 1) => (value > 0 ? "+" : "") + fixed(value, digits);
const pValue = p => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));

// At least three significant digits, thousands apart: 0.497, 83.8, 12,345.
function tidy(value) {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

// Which videos a run got right, one byte a video; null where its answers cannot be read.
const unpacked = new Map();
function rightVideos(run) {
  if (run.right === undefined) return null;
  if (!unpacked.has(run.id)) {
    const bytes = atob(run.right), right = new Uint8Array(data.sets[run.set].videos.length);
    for (let v = 0; v < right.length; v++) right[v] = (bytes.charCodeAt(v >> 3) >> (v & 7)) & 1;
    unpacked.set(run.id, right);
  }
  return unpacked.get(run.id);
}

const className = (set, label) => set.classes[label] ?? `class ${label}`;
const metric = (run, name) => run.metrics?.[data.metrics.indexOf(name)] ?? null;
const runLink = (id, text) => el("a", {href: `#trial-${id}`}, text ?? id);

// Rows in the order of the tables; text for people.
const tableTitle = new Map(data.tables.map(t => [t.anchor, t.title]));
const allowedIn = new Map(data.tables.map(t => [t.anchor, t.allowed])); // what its rows may differ in
const rowLabel = row => row.name;

function fillRowSelect(select, rows) {
  const groups = new Map();
  rows.forEach(({row, index}) => {
    if (!groups.has(row.table)) groups.set(row.table, el("optgroup", {label: tableTitle.get(row.table) ?? row.table}));
    const seeds = `${row.seeds.length} seed${row.seeds.length === 1 ? "" : "s"}`;
    groups.get(row.table).append(el("option", {value: index}, `${rowLabel(row)} (${seeds})`));
  });
  select.append(...groups.values());
}

function simpleTable(heads, rows, className = "plain") {
  const cell = (value, index) => el(index === 0 ? "th" : "td", index === 0 ? {scope: "row"} : {}, value);
  return el("div", {class: "scroll"}, el("table", {class: className},
    el("thead", {}, el("tr", {}, heads.map(head => el("th", {scope: "col"}, head)))),
    el("tbody", {}, rows.map(row => el("tr", {}, row.map(cell))))));
}
