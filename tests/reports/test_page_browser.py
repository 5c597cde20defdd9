"""The report page in headless Chromium: it loads clean, sorts, compares as Python does, and its links resolve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.experiment import Profile, load_experiment
from harness.methods.evidence import gather
from harness.methods.signature import short_hash
from harness.reports.reading import right_answers
from harness.statistics.intervals import mean_interval
from harness.statistics.paired import Comparison, compare, flips, holm
from tests.reports.browser import ABSENT, Browser

pytestmark = [pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT)), pytest.mark.slow]

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


def compared(profile: Profile, frame: pd.DataFrame, new: str, base: str) -> tuple[Comparison, pd.DataFrame]:
    """The same comparison in Python."""
    evidence = gather(load_experiment("ablation_a"), profile, frame, seeds=(0, 1, 2))
    rows = {row.row.name: row for row in evidence.rows}
    new_SV, base_SV = right_answers(rows[new]), right_answers(rows[base])
    ids = [f"test/{v:04d}" for v in range(new_SV.shape[1])]
    return compare(new_SV, base_SV, rows[new].seeds), flips(new_SV, base_SV, ids)


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
        row.row.name: row.done["top1"].mean()
        for row in gather(load_experiment("ablation_a"), profile, page_frame, (0, 1, 2)).rows
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
    evidence = gather(load_experiment("ablation_a"), profile, page_frame, (0, 1, 2))
    row = evidence.rows[4]
    text, links = shown.run(
        f"""
        const rows = [...document.querySelectorAll('{TABLE}')[0].tBodies[0].rows];
        const row = rows.find(r => r.dataset.row === arguments[0]);
        const heads = [...row.closest('table').querySelectorAll('thead tr:last-child th')];
        row.cells[heads.findIndex(h => h.dataset.key === 'top1')].click();
        const detail = document.getElementById('detail');
        return [detail.textContent, [...detail.querySelectorAll('a')].map(a => a.getAttribute('href'))];""",
        row.row.name,
    )
    assert links == [f"#trial-{i}" for i in row.trial_ids]
    found = mean_interval(row.done["top1"].tolist())
    assert f"95 % interval {found.low:.2f} to {found.high:.2f} %, 3 seeds" in text
    for value in row.done["top1"]:
        assert f"{value:.5g}" in text


@pytest.mark.parametrize(
    ("new", "base"), [("DSA+I3D 4x4", "V4D+I3D 4x4"), ("TSN+I3D 4x4", "I3D 16x1"), ("I3D 4x1", "DSA+I3D 4x4")]
)
def test_two_rows_compare_as_in_python(
    shown: Browser, profile: Profile, page_frame: pd.DataFrame, new: str, base: str
) -> None:
    said = select_rows(shown, new, base)
    expected, flipped = compared(profile, page_frame, new, base)
    assert said["verdict"] == expected.verdict
    assert float(said["difference"]) == pytest.approx(expected.difference, abs=1e-9)
    low, high = expected.interval.low, expected.interval.high
    assert low is not None and high is not None and expected.smallest_detectable is not None
    half = (high - low) / 2  # 10,000 draws know their own spread to 0.7 %; the page takes the limit
    assert (float(said["high"]) - float(said["low"])) / 2 == pytest.approx(half, rel=0.03)
    assert float(said["least"]) == pytest.approx(expected.smallest_detectable, rel=1e-3)
    table = shown.run(
        "const rows = [...document.querySelector('#compare-result table').tBodies[0].rows];"
        "return rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [[int(r[0]), int(r[4]), int(r[5])] for r in table] == [
        [m.seed, m.only_new, m.only_base] for m in expected.mcnemar
    ]
    counts = shown.run("return [...document.querySelectorAll('#compare-result p.quiet')].at(-1).textContent")
    gained = int((flipped["flip"] == "gained").sum())
    assert counts.startswith(f"{gained} gained, {len(flipped) - gained} lost")


def test_the_browser_computes_as_scipy_and_the_package_do(shown: Browser) -> None:
    rng = np.random.default_rng(3)
    for S, V in ((2, 30), (3, 480), (5, 200)):
        base = rng.random((S, V)) < 0.6
        new = base ^ (rng.random((S, V)) < 0.2)
        expected = compare(new, base, range(S), n_boot=400_000)
        got = shown.run(
            """
            const [a, b] = [...arguments].map(rows => rows.map(row => Uint8Array.from(row)));
            const result = harness.twoLevel(a, b);
            const mcnemar = a.map((row, s) => harness.mcnemar(row, b[s]).p);
            return {...result, least: harness.detectable(result.errors), mcnemar};""",
            new.astype(int).tolist(),
            base.astype(int).tolist(),
        )
        assert got["difference"] == pytest.approx(expected.difference, abs=1e-9)
        assert [got["low"], got["high"]] == pytest.approx(
            [expected.interval.low, expected.interval.high], rel=5e-3, abs=0.03
        )
        assert got["p"] == pytest.approx(expected.p_value, rel=0.05, abs=1e-3)
        assert got["least"] == pytest.approx(expected.smallest_detectable, rel=1e-3)
        assert got["mcnemar"] == pytest.approx([m.p_value for m in expected.mcnemar], rel=1e-9)
    quantiles = shown.run(
        "return [[.975, 1], [.975, 2.7], [.995, 40], [.6, 5]].map(([p, df]) => harness.tQuantile(p, df))"
    )
    assert quantiles == pytest.approx(
        [stats.t.ppf(*a) for a in ((0.975, 1), (0.975, 2.7), (0.995, 40), (0.6, 5))], rel=1e-8
    )
    slices = shown.run(
        "return [[.0025, 1], [.5, 4], [.9975, 9]].map(([p, df]) => harness.chi2Quantile(p, df))"
    )
    assert slices == pytest.approx(
        [stats.chi2.ppf(*a) for a in ((0.0025, 1), (0.5, 4), (0.9975, 9))], rel=1e-6
    )
    p_values = [0.01, 0.04, 0.03, 0.5]
    assert shown.run("return harness.holm(arguments[0])", p_values) == pytest.approx(holm(p_values).tolist())


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
        "one_cycle",
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
