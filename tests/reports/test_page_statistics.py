"""The numbers of the page's script are those of `harness.statistics`, to 1e-9: run in V8, without a browser."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_mini_racer import MiniRacer
from scipy import stats

from harness.experiment.load import ROOT
from harness.statistics.paired import compare, flips, holm, per_class_movers
from tests.reports import browser

SCRIPT = resources.files("harness.reports.page") / "templates" / "statistics.js"
REL = 1e-9


@pytest.fixture(scope="module")
def js() -> MiniRacer:
    context = MiniRacer()
    context.eval(SCRIPT.read_text(encoding="utf-8"))
    context.eval("const rows = SV => SV.map(row => Uint8Array.from(row));")
    return context


def call(js: MiniRacer, expression: str) -> Any:
    return json.loads(js.eval(f"JSON.stringify({expression})"))


def close(expected: Any) -> Any:
    """What a number, or each of several, must be; None must be None."""
    if isinstance(expected, list):
        return [close(value) for value in expected]
    return None if expected is None else pytest.approx(expected, rel=REL, abs=1e-11)


def written(SV: np.ndarray) -> str:
    return f"rows({SV.astype(int).tolist()})"


def methods(rng: np.random.Generator, S: int, V: int, differ: float) -> tuple[np.ndarray, np.ndarray]:
    base = rng.random((S, V)) < 0.6
    return base ^ (rng.random((S, V)) < differ), base


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 90), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_comparison(js: MiniRacer, S: int, V: int, differ: float, seed: int) -> None:
    new, base = methods(np.random.default_rng(seed), S, V, differ)
    expected = compare(new, base, range(S))
    got = call(
        js, f"(r => ({{...r, verdict: verdict(r)}}))(pairedDifference({written(new)}, {written(base)}))"
    )
    interval = expected.interval
    assert [got["difference"], got["low"], got["high"]] == close([interval.mean, interval.low, interval.high])
    assert got["p"] == close(expected.p_value)
    assert got["verdict"] == expected.verdict
    if expected.smallest_detectable is not None:
        assert call(js, f"detectable({json.dumps(got['errors'])})") == close(expected.smallest_detectable)


@pytest.mark.parametrize(("S", "V"), [(2, 480), (3, 480), (5, 5000), (10, 480)])
def test_a_comparison_of_real_size(js: MiniRacer, S: int, V: int) -> None:
    new, base = methods(np.random.default_rng(3), S, V, 0.2)
    expected = compare(new, base, range(S))
    got = call(js, f"pairedDifference({written(new)}, {written(base)})")
    assert [got["low"], got["high"], got["p"]] == close(
        [expected.interval.low, expected.interval.high, expected.p_value]
    )
    assert call(js, f"detectable({json.dumps(got['errors'])})") == close(expected.smallest_detectable)


def test_mcnemar_flips_and_classes(js: MiniRacer) -> None:
    new, base = methods(np.random.default_rng(4), 4, 120, 0.4)
    a, b = written(new), written(base)
    tests = call(js, f"((a, b) => a.map((row, s) => mcnemar(row, b[s])))({a}, {b})")
    expected = compare(new, base, range(4))
    assert [(t["onlyNew"], t["onlyBase"]) for t in tests] == [
        (m.only_new, m.only_base) for m in expected.mcnemar
    ]
    assert [t["p"] for t in tests] == close([m.p_value for m in expected.mcnemar])
    found = call(js, f"flippedVideos({a}, {b})")
    assert [(f["v"], f["flip"], f["rightNew"], f["rightBase"]) for f in found] == [
        (f.place, f.flip, f.new_right, f.base_right) for f in flips(new, base)
    ]
    labels = np.arange(120) % 5
    by_group = {mover.group: mover for mover in per_class_movers(new, base, labels.tolist())}
    p_values = []
    for label in range(5):
        videos = np.flatnonzero(labels == label).tolist()
        got = call(js, f"pairedDifference({a}, {b}, {videos})")
        mover = by_group[label]
        assert [got["difference"], got["low"], got["high"]] == close(
            [mover.difference, mover.low, mover.high]
        )
        p_values.append(got["p"])
    adjusted = call(js, f"holm({json.dumps(p_values)})")
    assert adjusted == close([by_group[label].p_adjusted for label in range(5)])


def test_holm_keeps_what_was_not_tested(js: MiniRacer) -> None:
    p_values = [0.01, None, 0.04, 0.03, None, 0.5]
    assert call(js, f"holm({json.dumps(p_values)})") == close(holm(p_values))


@pytest.mark.parametrize(("p", "df"), [(0.975, 1), (0.975, 2.7), (0.995, 40), (0.6, 5), (0.975, 2000)])
def test_quantiles_of_t(js: MiniRacer, p: float, df: float) -> None:
    assert call(js, f"tQuantile({p}, {df})") == close(stats.t.ppf(p, df))


@pytest.mark.parametrize(("p", "df"), [(0.0025, 1), (0.5, 4), (0.9975, 9), (0.0025, 60)])
def test_quantiles_of_chi_squared(js: MiniRacer, p: float, df: float) -> None:
    assert call(js, f"chi2Quantile({p}, {df})") == close(stats.chi2.ppf(p, df))


@pytest.mark.parametrize("z", [-6.0, -1.3, 0.0, 0.02, 2.5, 7.0])
def test_the_normal_distribution(js: MiniRacer, z: float) -> None:
    assert call(js, f"normalBelow({z})") == close(stats.norm.cdf(z))


def test_a_missing_browser_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(browser, "ABSENT", "no chromium here")
    with pytest.raises(AssertionError, match="HARNESS_BROWSER=required, and no chromium here"):
        browser.Browser(tmp_path).__enter__()
    assert "HARNESS_BROWSER=required make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
