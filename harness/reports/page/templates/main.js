// Starting up, the hash as an address, light and dark.

// Run `draw` once, when `section` comes near the window: a long page opens at once.
function whenSeen(section, draw) {
  const watcher = new IntersectionObserver(entries => {
    if (!entries.some(entry => entry.isIntersecting)) return;
    watcher.disconnect();
    draw();
  }, {rootMargin: "600px"});
  watcher.observe(section);
  addEventListener("beforeprint", () => { watcher.disconnect(); draw(); }, {once: true});
}

// Where the reader left the overview: the way back from a run leads there.
let left = {hash: location.hash, y: 0};

function route() {
  const id = decodeURIComponent(location.hash).match(/^#trial-(.+)$/)?.[1];
  const run = byId("run"), overview = byId("overview"), wasRun = !run.hidden;
  hideDetail();
  if (id !== undefined && !wasRun) left.y = scrollY;
  run.hidden = id === undefined;
  overview.hidden = id !== undefined;
  document.title = id === undefined ? "Ablation report" : `Run ${id}`;
  if (id !== undefined) {
    run.replaceChildren(...runPage(id));
    scrollTo(0, 0);
    run.querySelector("h1").focus({preventScroll: true});
    return;
  }
  if (wasRun && location.hash === left.hash) scrollTo(0, left.y);
  else if (wasRun) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  left.hash = location.hash;
}

const THEMES = ["auto", "light", "dark"];

function startTheme() {
  const button = byId("theme");
  const stored = () => { try { return localStorage.getItem("harness-theme"); } catch { return null; } };
  const apply = theme => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = THEMES.includes(stored()) ? stored() : "auto";
  apply(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    apply(theme);
    try { localStorage.setItem("harness-theme", theme); } catch { /* a browser that keeps nothing: for this visit only */ }
  });
}

document.documentElement.classList.add("scripted");
startTheme();
startTables();
startCompare();
startCurves();
startRuns();
addEventListener("hashchange", route);
route();
// Paper shows what is folded away on the screen.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));

window.harness = {data, rightVideos};
