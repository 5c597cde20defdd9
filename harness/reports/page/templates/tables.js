// Tables: sorting, one tab stop with arrow keys inside, and the detail of a cell.

function upgradeTable(table) {
  const heads = [...table.querySelectorAll("thead tr:last-child th")];
  const body = table.tBodies[0];
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", table.closest("section").querySelector("h2").textContent);
  [...body.rows].forEach((row, place) => { row.dataset.place = place; });
  heads.forEach((head, column) => {
    head.dataset.column = column;
    const button = el("button", {type: "button", class: "sort", tabindex: -1}, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, heads, column));
  });
  markGroups(table, heads);
  for (const cell of body.querySelectorAll("td[data-trials], td[title], td[data-value]")) {
    if (cell.title) { cell.dataset.note = cell.title; cell.removeAttribute("title"); }
    cell.classList.add("detailed");
    cell.setAttribute("aria-haspopup", "dialog");
  }
  keyboard(table);
}

// A header above the paper's columns looks like them.
function markGroups(table, heads) {
  let column = 0;
  for (const group of table.querySelector("tr.groups")?.cells ?? []) {
    if (heads[column].classList.contains("paper")) group.classList.add("paper");
    column += group.colSpan;
  }
}

function sortKey(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.tagName === "TD" && cell.classList.contains("empty") ? null : cell.textContent.trim();
}

// Ascending, descending, as written. Empty cells stay last.
function sortBy(table, heads, column) {
  const head = heads[column], body = table.tBodies[0];
  const next = {none: "ascending", ascending: "descending", descending: "none"}[head.getAttribute("aria-sort") ?? "none"];
  heads.forEach(other => other.removeAttribute("aria-sort"));
  if (next !== "none") head.setAttribute("aria-sort", next);
  const sign = next === "descending" ? -1 : 1;
  const rows = [...body.rows].map(row => ({row, key: next === "none" ? Number(row.dataset.place) : sortKey(row.cells[column])}));
  rows.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return sign * (typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key
      : String(a.key).localeCompare(String(b.key), "en", {numeric: true}));
  });
  body.append(...rows.map(({row}) => row));
}

// Rows of places where the focus can stand: the header's buttons, then the cells.
const focusGrid = table => [[...table.querySelectorAll("thead button.sort")],
  ...[...table.tBodies[0].rows].map(row => [...row.cells])];

function keyboard(table) {
  const first = table.querySelector("button.sort");
  if (first) first.tabIndex = 0;
  const move = target => {
    table.querySelectorAll("[tabindex='0']").forEach(node => { node.tabIndex = -1; });
    target.tabIndex = 0;
    target.focus();
  };
  table.addEventListener("keydown", event => {
    const cell = event.target.closest("button.sort, td, tbody th"), grid = focusGrid(table);
    if (!cell || event.target.closest("a")) return;
    const r = grid.findIndex(row => row.includes(cell)), c = grid[r].indexOf(cell);
    const goal = {
      ArrowRight: () => grid[r][c + 1], ArrowLeft: () => grid[r][c - 1],
      ArrowDown: () => grid[r + 1]?.[c], ArrowUp: () => grid[r - 1]?.[c],
      Home: () => grid[r][0], End: () => grid[r].at(-1),
    }[event.key];
    if (goal) { event.preventDefault(); const target = goal(); if (target) move(target); }
    else if ((event.key === "Enter" || event.key === " ") && cell.classList.contains("detailed")) {
      event.preventDefault();
      showDetail(cell, true);
    }
  });
  table.addEventListener("click", event => {
    const cell = event.target.closest("td.detailed");
    if (cell && !event.target.closest("a")) showDetail(cell, true);
  });
  table.addEventListener("pointerover", event => {
    const cell = event.target.closest("td.detailed");
    if (cell && event.pointerType === "mouse" && !pinned) showDetail(cell, false);
  });
  table.addEventListener("pointerleave", () => { if (!pinned) hideDetail(); });
  table.addEventListener("focusin", event => {
    const cell = event.target.closest("td");
    if (pinned) return;
    if (cell?.classList.contains("detailed")) showDetail(cell, false); else hideDetail();
  });
}

const detail = byId("detail");
let pinned = false, shownCell = null;

function showDetail(cell, pin) {
  if (cell === shownCell && !pin) return;
  shownCell?.classList.remove("open");
  shownCell = cell;
  pinned = pin;
  cell.classList.add("open");
  detail.replaceChildren(...detailOf(cell));
  detail.hidden = false;
  placeBeside(cell);
  if (pin) {
    cell.tabIndex = cell.tabIndex < 0 ? -1 : 0;
    (detail.querySelector("a") ?? detail.querySelector("button")).focus();
  }
}

function hideDetail(back = false) {
  if (back) shownCell?.focus();
  shownCell?.classList.remove("open");
  detail.hidden = true;
  shownCell = null;
  pinned = false;
}

function placeBeside(cell) {
  const box = cell.getBoundingClientRect(), own = detail.getBoundingClientRect();
  const room = document.documentElement;
  const left = Math.max(8, Math.min(box.left, room.clientWidth - own.width - 8));
  const below = box.bottom + 6 + own.height < room.clientHeight || box.top < own.height + 60;
  detail.style.left = `${left + scrollX}px`;
  detail.style.top = `${(below ? box.bottom + 6 : box.top - own.height - 6) + scrollY}px`;
}

const SOURCES = {ours: "ours, measured", paper: "printed in the paper", config: "as declared"};

function detailOf(cell) {
  const table = cell.closest("table"), head = table.querySelector(`thead tr:last-child th:nth-child(${cell.cellIndex + 1})`);
  const column = data.columns[head.dataset.key], {value, low, high, n, note, trials} = cell.dataset;
  const close = el("button", {type: "button", class: "close", "aria-label": "Close", onclick: () => hideDetail(true)}, "×");
  const parts = [close, el("p", {class: "where"}, `${cell.parentElement.dataset.row}: ${column.name}`,
    el("span", {class: `mark ${column.source}`}, SOURCES[column.source]))];
  if (cell.classList.contains("empty")) parts.push(el("p", {}, `Empty: ${note}.`));
  else if (value !== undefined) {
    const unit = column.unit ? ` ${column.unit}` : "";
    parts.push(el("p", {class: "number"}, `${tidyFully(Number(value))}${unit}`));
    if (low !== undefined) parts.push(el("p", {}, `95 % interval ${fixed(Number(low), 2)} to ${fixed(Number(high), 2)}${unit}, ${n} seeds`));
    else if (n === "1" && column.from) parts.push(el("p", {}, "One seed: no interval."));
  }
  if (column.direction) parts.push(el("p", {class: "quiet"}, `${column.direction} is better`));
  if (trials) parts.push(seedList(trials.split(" "), column));
  return parts;
}

const tidyFully = value => (Math.abs(value) >= 1000 ? tidy(value) : String(Number(value.toPrecision(5))));

function seedList(ids, column) {
  const items = ids.map(id => {
    const run = runById.get(id);
    if (!run) return el("tr", {}, el("td", {}, "not run"), el("td", {}, ""), el("td", {}, el("code", {}, id)));
    const [where, index, divisor] = column.from ?? [];
    const value = where && run[where] ? run[where][index] / divisor : null;
    const said = run.status === "done" ? (column.from ? tidyFully(value) : "") : run.status;
    return el("tr", {}, el("td", {}, `seed ${run.seed ?? "?"}`), el("td", {}, said), el("td", {}, runLink(id)));
  });
  return el("table", {class: "seeds"}, el("tbody", {}, items));
}

function startTables() {
  document.querySelectorAll("table.sortable").forEach(upgradeTable);
  document.addEventListener("keydown", event => { if (event.key === "Escape" && !detail.hidden) hideDetail(pinned); });
  document.addEventListener("pointerdown", event => {
    if (pinned && !detail.contains(event.target) && !event.target.closest("td.detailed")) hideDetail();
  });
  detail.addEventListener("click", event => { if (event.target.closest("a")) hideDetail(); });
}
