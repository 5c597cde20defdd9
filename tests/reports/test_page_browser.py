"""The report page in headless Chromium: it loads clean, sorts, compares as Python does, and its links resolve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.experiment import Profile, load_experiment
from harness.methods import gather
from harness.methods.fairness import short_hash
from harness.reports.words import VERDICTS
from harness.statistics.intervals import mean_interval
from harness.statistics.paired import Comparison, Flip, compare, flips
from tests.reports.browser import SKIP, Browser

pytestmark = [pytest.mark.skipif(SKIP is not None, reason=str(SKIP)), pytest.mark.slow]

TABLE = "#table-ablation_a table.sortable"
NAMES = f"return [...document.querySelectorAll('{TABLE}')[0].tBodies[0].rows].map(r => r.dataset.row)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as window:
        yield window


@pytest.fixture
def shown(browser: Browser, page: Path) -> Iterator[Browser]:
    """A window with the page freshly loaded; a message on the console fails the test."""
    browser.emulate(1280, 900)
    browser.open(page)
    browser.errors()
    yield browser
    assert browser.errors() == []


def select_rows(browser: Browser, new: str, base: str, group: str = "Effectiveness") -> dict[str, Any]:
    """Choose two rows by name; the data of the verdict and its text."""
    browser.run("document.getElementById('compare').scrollIntoView()")
    browser.wait_for("document.querySelector('#compare-result .verdict') !== null")
    return browser.run(
        """
        const [newName, baseName, baseGroup] = arguments;
        const wanted = [["compare-new", newName, "Effectiveness"], ["compare-base", baseName, baseGroup]];
        for (const [id, name, group] of wanted) {
          const select = document.getElementById(id);
          const option = [...select.options].find(o => o.text.includes(name) && o.parentNode.label.includes(group));
          select.value = option.value;
          select.dispatchEvent(new Event("change"));
        }
        const verdict = document.querySelector("#compare-result .verdict");
        return {...verdict.dataset, text: verdict.textContent};
        """,
        new,
        base,
        group,
    )


def compared(
    profile: Profile, frame: pd.DataFrame, new: str, base: str
) -> tuple[Comparison, tuple[Flip, ...]]:
    """The same comparison in Python."""
    gathered = gather(load_experiment("ablation_a"), profile, frame, seeds=(0, 1, 2))
    rows = {row.label: row for row in gathered.methods}
    new_SV, base_SV = rows[new].right(), rows[base].right()
    return compare(new_SV, base_SV, rows[new].seeds), flips(new_SV, base_SV)


def test_it_loads_without_a_message(browser: Browser, page: Path) -> None:
    browser.errors()
    browser.open(page)
    assert browser.errors() == []
    assert browser.run("return document.querySelectorAll('table.sortable').length") >= 3
    broken = (
        "[...document.images].filter(i => i.loading !== 'lazy' && !(i.complete && i.naturalWidth > 0)).length"
    )
    assert browser.run(f"return {broken}") == 0


def test_a_click_on_a_header_sorts_up_down_and_back(
    shown: Browser, profile: Profile, page_frame: pd.DataFrame
) -> None:
    declared = shown.run(NAMES)
    means = {
        row.label: row.lines["top1"].mean()
        for row in gather(load_experiment("ablation_a"), profile, page_frame, (0, 1, 2)).methods
    }
    click = f"""
        const head = document.querySelectorAll('{TABLE}')[0].querySelector('th[data-key=top1]');
        head.querySelector('button').click();
        return head.getAttribute('aria-sort');"""
    assert shown.run(click) == "ascending"
    assert shown.run(NAMES) == sorted(declared, key=lambda name: means[name])
    assert shown.run(click) == "descending"
    assert shown.run(NAMES) == sorted(declared, key=lambda name: -means[name])
    assert shown.run(click) is None
    assert shown.run(NAMES) == declared


def test_rows_without_a_number_stay_last(shown: Browser) -> None:
    order = shown.run(
        """
        const table = document.querySelector('#table-ablation_e table.sortable'), lists = [];
        const head = table.querySelector('th[data-key=top1]');
        for (let i = 0; i < 2; i++) {
          head.querySelector('button').click();
          lists.push([...table.tBodies[0].rows].at(-1).dataset.row);
        }
        return lists;"""
    )
    assert order == ["beta 1/2", "beta 1/2"]


def test_a_table_works_by_keyboard_alone(shown: Browser) -> None:
    shown.run(f"document.querySelectorAll('{TABLE}')[0].querySelector('[tabindex=\"0\"]').focus()")
    shown.press("Enter")
    assert shown.run("return document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    shown.press("Down", "Right", "Right", "Right", "Right", "Right")
    cell = "document.activeElement.closest('td')"
    assert shown.run(f"return {cell}.dataset.value !== undefined")
    assert shown.run("return document.getElementById('detail').hidden") is False
    shown.press("Enter")
    assert shown.run("return document.activeElement.closest('#detail') !== null")
    shown.press("Escape")
    assert shown.run("return document.getElementById('detail').hidden")
    assert shown.run(f"return {cell} !== null"), "the focus is back in the table"


def test_the_detail_of_a_cell_names_every_seed(
    shown: Browser, profile: Profile, page_frame: pd.DataFrame
) -> None:
    gathered = gather(load_experiment("ablation_a"), profile, page_frame, (0, 1, 2))
    row = gathered.methods[4]
    text, links = shown.run(
        f"""
        const rows = [...document.querySelectorAll('{TABLE}')[0].tBodies[0].rows];
        const row = rows.find(r => r.dataset.row === arguments[0]);
        const heads = [...row.closest('table').querySelectorAll('thead tr:last-child th')];
        row.cells[heads.findIndex(h => h.dataset.key === 'top1')].click();
        const detail = document.getElementById('detail');
        return [detail.textContent, [...detail.querySelectorAll('a')].map(a => a.getAttribute('href'))];""",
        row.label,
    )
    assert links == [f"#trial-{i}" for i in row.trial_ids]
    found = mean_interval(row.lines["top1"].tolist())
    assert f"95 % interval {found.low:.2f} to {found.high:.2f} %, 3 seeds" in text
    for value in row.lines["top1"]:
        assert f"{value:.5g}" in text


@pytest.mark.parametrize(
    ("new", "base"), [("DSA+I3D 4x4", "V4D+I3D 4x4"), ("TSN+I3D 4x4", "I3D 16x1"), ("I3D 4x1", "DSA+I3D 4x4")]
)
def test_two_rows_compare_as_in_python(
    shown: Browser, profile: Profile, page_frame: pd.DataFrame, new: str, base: str
) -> None:
    said = select_rows(shown, new, base)
    expected, flipped = compared(profile, page_frame, new, base)
    assert said["verdict"] == VERDICTS[expected.verdict]
    assert float(said["difference"]) == pytest.approx(expected.difference, abs=1e-9)
    low, high = expected.interval.low, expected.interval.high
    assert low is not None and high is not None and expected.smallest_detectable is not None
    assert [float(said["low"]), float(said["high"])] == pytest.approx([low, high], rel=1e-9)
    assert float(said["least"]) == pytest.approx(expected.smallest_detectable, rel=1e-9)
    table = shown.run(
        "const rows = [...document.querySelector('#compare-result table').tBodies[0].rows];"
        "return rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [[int(r[0]), int(r[4]), int(r[5])] for r in table] == [
        [m.seed, m.only_new, m.only_base] for m in expected.mcnemar
    ]
    counts = shown.run("return [...document.querySelectorAll('#compare-result p.quiet')].at(-1).textContent")
    gained = sum(flip.flip == "gained" for flip in flipped)
    assert counts.startswith(f"{gained} gained, {len(flipped) - gained} lost")


def test_another_recipe_is_not_comparable(shown: Browser, profile: Profile, other_profile: Profile) -> None:
    said = select_rows(shown, "DSA+I3D 4x4", "DSA+I3D 4x4", group="outside")
    assert short_hash(profile.recipe.model_dump()) != short_hash(other_profile.recipe.model_dump())
    assert "Not comparable: recipe.lr" in said["text"]
    assert "verdict" not in said


def test_a_run_has_a_page_and_the_way_back(shown: Browser, page_frame: pd.DataFrame) -> None:
    line = page_frame[(page_frame["status"] == "done") & (page_frame["aggregation"] == "dsa")].iloc[0]
    shown.run("scrollTo(0, 700)")
    shown.run(f"location.hash = '#trial-{line['id']}'")
    shown.wait_for("!document.getElementById('run').hidden")
    text = shown.run("return document.getElementById('run').textContent")
    for part in (
        line["id"],
        line["provenance_commit"],
        line["dataset_manifest"],
        "cosine",
        "Accuracy by class",
    ):
        assert part in text
    assert shown.run("return document.querySelectorAll('#run svg.chart').length") == 2
    assert shown.run("return document.activeElement.tagName") == "H1"
    shown.run("history.back()")
    shown.wait_for("!document.getElementById('overview').hidden")
    assert shown.run("return scrollY") == 700


def test_failed_and_unknown_runs_say_so(shown: Browser, page_frame: pd.DataFrame) -> None:
    failed = page_frame[page_frame["status"] == "failed"].iloc[0]
    for trial, said in ((failed["id"], failed["reason"]), ("nonsense", "holds no run of that id")):
        shown.run(f"location.hash = '#trial-{trial}'")
        shown.wait_for(f"document.getElementById('run').textContent.includes({said!r})")


def test_every_link_resolves_after_the_scripts_ran(shown: Browser) -> None:
    shown.run("for (const id of ['compare', 'curves', 'runs']) document.getElementById(id).scrollIntoView()")
    shown.wait_for("document.querySelector('#runs-table tbody tr') !== null")
    dead = shown.run(
        """
        const known = new Set(harness.data.runs.map(run => `trial-${run.id}`));
        const leads = href => href[0] === '#' && (known.has(href.slice(1)) || document.getElementById(href.slice(1)));
        return [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))
          .filter(href => !leads(href));"""
    )
    assert dead == []


def test_runs_are_found_by_words(shown: Browser, page_frame: pd.DataFrame) -> None:
    shown.run("document.getElementById('runs').scrollIntoView()")
    shown.wait_for("document.querySelector('#runs-table tbody tr') !== null")
    shown.run(
        "const box = document.getElementById('runs-find'); box.value = 'failed'; box.dispatchEvent(new Event('input'))"
    )
    found = shown.run(
        "return [...document.querySelectorAll('#runs-table tbody th')].map(th => th.textContent)"
    )
    assert found == page_frame[page_frame["status"] == "failed"]["id"].tolist()


def test_curves_are_drawn_for_every_row(shown: Browser) -> None:
    shown.run("document.getElementById('curves').scrollIntoView()")
    shown.wait_for("document.querySelector('#curves-result svg') !== null")
    assert shown.run("return document.querySelectorAll('#curves-result g path.mean').length") == 5
    assert shown.run("return document.querySelectorAll('#curves-result g path.seed').length") == 15


def test_a_phone_scrolls_tables_and_not_the_page(shown: Browser) -> None:
    shown.emulate(390, 844)
    assert shown.run("return document.documentElement.scrollWidth") <= 390
    assert shown.run(
        "const box = document.querySelector('.scroll'); return box.scrollWidth > box.clientWidth"
    )


def test_light_and_dark_follow_the_system_and_the_button(shown: Browser) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = shown.run(ground)
    shown.emulate(1280, 900, dark=True)
    dark = shown.run(ground)
    assert dark != light
    press = "document.getElementById('theme').click();"
    assert [shown.run(press + ground) for _ in range(3)] == [light, dark, dark]


def test_print_hides_the_controls_and_opens_the_tables(shown: Browser) -> None:
    shown.devtools("Emulation.setEmulatedMedia", {"media": "print"})
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert shown.run(style, ".bar", "display") == "none"
    assert shown.run(style, ".scroll", "overflowX") == "visible"
    shown.devtools("Emulation.setEmulatedMedia", {"media": ""})
    assert shown.pdf().startswith(b"%PDF")


def test_the_first_tab_stop_skips_to_the_content(shown: Browser) -> None:
    shown.press("Tab")
    assert shown.run("return document.activeElement.className") == "skip"
    shown.press("Enter")
    shown.wait_for("document.activeElement.id === 'content'")
