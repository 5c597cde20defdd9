"""The report page with 2,000 runs: seconds to write it, its size, and seconds until a browser shows it.

    python benchmarks/bench_page.py [RUNS]

Targets: below 10 MB, below 2 s to load. Records are synthetic (tests/factories.py): 480 test videos, 20 classes,
the epochs of the embedded profile. Needs chromium and chromedriver for the second half.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from harness.experiment import Profile, load_experiment, load_profile  # noqa: E402
from harness.plan.expand import plan_trials  # noqa: E402
from harness.reports.page import build_page  # noqa: E402
from harness.results import Store, load  # noqa: E402
from tests.factories import make_record  # noqa: E402
from tests.reports.browser import ABSENT, Browser  # noqa: E402

SEEDS = 20
TIMES = """
const [nav] = performance.getEntriesByType("navigation");
return {"ready, s": nav.domContentLoadedEventEnd / 1000, "loaded, s": nav.loadEventEnd / 1000,
  "elements": document.querySelectorAll("*").length};
"""


def profiles(runs: int, rows: int) -> list[Profile]:
    """As many recipes as it takes; all but the first make runs outside the tables."""
    base = load_profile("embedded")
    return [
        base.model_copy(
            update={"recipe": base.recipe.model_copy(update={"lr": base.recipe.lr * (1 + k / 1000)})}
        )
        for k in range(-(-runs // (rows * SEEDS)))
    ]


def fill(store: Store, runs: int) -> None:
    """Records of table (a), row by row and recipe by recipe, until there are `runs` of them."""
    experiment = load_experiment("ablation_a")
    recipes = profiles(runs, len(experiment.rows))
    planned = [p for profile in recipes for p in plan_trials(experiment, profile, range(SEEDS))]
    for place, p in enumerate(planned[:runs]):
        store.write(make_record(p, 60 + place % 30), p)


def in_browser(page: Path, folder: Path) -> dict[str, float]:
    """Seconds from the start of navigation; the drawing of lazy parts is timed by calling for each."""
    with Browser(folder / "chromium") as browser:
        browser.open(page)
        found = dict(browser.run(TIMES))
        for part, drawn in (("compare", ".verdict"), ("curves", "svg"), ("runs", "tbody tr")):
            started = time.perf_counter()
            browser.run(f"document.getElementById('{part}').scrollIntoView()")
            browser.wait_for(f"document.querySelector('#{part} {drawn}') !== null")
            found[f"{part} drawn, s"] = time.perf_counter() - started
        return found


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(Store(folder / "runs"), runs)
        started = time.perf_counter()
        frame = load(folder / "runs")
        print(f"{len(frame)} runs read in {time.perf_counter() - started:.1f} s")
        started = time.perf_counter()
        page = build_page(
            [load_experiment("ablation_a")], [load_profile("embedded")], frame, folder / "index.html"
        )
        print(f"page written in {time.perf_counter() - started:.1f} s, {page.stat().st_size / 1e6:.2f} MB")
        for what, value in in_browser(page, folder).items() if ABSENT is None else ((str(ABSENT), 0.0),):
            print(f"{what:<20} {value:.4g}")


if __name__ == "__main__":
    main()
