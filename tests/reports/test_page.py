"""The report page as a file: whole, escaped, complete, small; and what happens to damaged or missing parts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.data import ScriptedDigits, prepare
from harness.experiment.datasets import VideosPerClass
from harness.experiment import Profile, load_experiment
from harness.plan.expand import plan_trials
from harness.reports import figures
from harness.reports.page import build_page
from harness.reports.page.assemble import LeftOut, embedded_json
from harness.reports.page.payload import OTHER, AnswerBook, Pool, most_flipped, rounded
from harness.reports.page.pictures import strips_of
from harness.results import Store, load
from harness.results.predictions import scores_from_predictions
from tests.factories import make_failed_record, make_record


def payload_of(page: Path) -> dict[str, Any]:
    """The data that the page's scripts read."""
    found = re.search(
        r'<script type="application/json" id="payload">(.*?)</script>',
        page.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert found is not None
    return json.loads(found.group(1))


@pytest.fixture(scope="module")
def payload(page: Path) -> dict[str, Any]:
    return payload_of(page)


def test_nothing_is_fetched(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href|action)="([^"]*)"', text)
    assert sources
    assert {s.split(":")[0] if s.startswith("data:") else s[:1] for s in sources} == {"data", "#"}
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_every_link_in_the_file_leads_somewhere(page: Path, payload: dict[str, Any]) -> None:
    text = page.read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "an id stands twice"
    goals = set(ids) | {f"trial-{run['id']}" for run in payload["runs"]}
    assert set(re.findall(r'href="#([^"]+)"', text)) <= goals


def test_every_run_of_the_frame_is_there(payload: dict[str, Any], page_frame: pd.DataFrame) -> None:
    runs = {run["id"]: run for run in payload["runs"]}
    assert set(runs) == set(page_frame["id"])
    failed = page_frame[page_frame["status"] == "failed"].iloc[0]
    assert runs[failed["id"]]["reason"] == failed["reason"]
    line = page_frame[page_frame["status"] == "done"].iloc[0]
    metrics = dict(zip(payload["metrics"], runs[line["id"]]["metrics"], strict=True))
    assert metrics["top1"] == pytest.approx(line["top1"], rel=1e-6)


def test_too_many_runs_outside_the_tables_are_left_out_aloud(
    profile: Profile, page_frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them or none, so that no method is there with some of its seeds; a store of 20,000 took minutes."""
    monkeypatch.setattr("harness.reports.page.assemble.OTHERS_AT_MOST", 3)
    experiment = load_experiment("ablation_a")
    own = {p.id for p in plan_trials(experiment, profile, range(3))} & set(page_frame["id"])
    with pytest.warns(LeftOut, match=rf"^{len(page_frame) - len(own)} runs that stand in none"):
        page = build_page([experiment], [profile], page_frame, tmp_path / "page.html")
    assert {run["id"] for run in payload_of(page)["runs"]} == own


def test_pictures_are_drawn_anew_for_other_numbers_alone(
    profile: Profile, page_frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    drawn: list[str] = []
    draw = figures.accuracy_figures
    monkeypatch.setattr(
        figures, "accuracy_figures", lambda of, *a, **k: drawn.append(of.experiment.name) or draw(of, *a, **k)
    )

    def pictures(frame: pd.DataFrame) -> list[str]:
        page = build_page([load_experiment("ablation_a")], [profile], frame, tmp_path / "page.html")
        return re.findall(r'"(data:image/svg[^"]*)"', page.read_text(encoding="utf-8"))

    first = pictures(page_frame)
    assert pictures(page_frame) == first
    assert drawn == ["ablation_a"]
    moved = page_frame.assign(top1=page_frame["top1"] - 1)
    assert pictures(moved) != first
    assert len(drawn) == 2


def test_answers_are_packed_in_the_order_of_the_videos(
    payload: dict[str, Any], page_frame: pd.DataFrame
) -> None:
    line = page_frame[page_frame["status"] == "done"].iloc[3]
    run = next(run for run in payload["runs"] if run["id"] == line["id"])
    scores_VGK, labels, videos = scores_from_predictions(Store(Path(line["root"])).predictions(line["id"]))
    expected = dict(zip(videos, scores_VGK.mean(1).argmax(1) == labels, strict=True))
    bits = np.unpackbits(np.frombuffer(base64.b64decode(run["right"]), np.uint8), bitorder="little")
    names = payload["sets"][run["set"]]["videos"]
    assert dict(zip(names, bits[: len(names)].astype(bool).tolist(), strict=True)) == expected


def test_the_configuration_can_be_put_together_again(
    payload: dict[str, Any], page_frame: pd.DataFrame
) -> None:
    line, pool = page_frame[page_frame["status"] == "done"].iloc[5], payload["pool"]
    run = next(run for run in payload["runs"] if run["id"] == line["id"])
    config = {key: pool[number] for key, number in pool[run["config"]].items()}
    expected = json.loads(line["config"])
    assert config | {"seed": run["seed"], "variants": []} == expected


def test_runs_outside_the_tables_can_be_compared_too(payload: dict[str, Any], other_profile: Profile) -> None:
    others = [row for row in payload["rows"] if row["table"] == OTHER]
    assert {row["name"].split(" / ")[-1] for row in others} >= {other_profile.name}
    assert all(row["seeds"] == sorted(row["seeds"]) for row in others)


def test_a_page_without_any_record_says_so(profile: Profile, tmp_path: Path) -> None:
    page = build_page(
        [load_experiment("ablation_a")], [profile], load(tmp_path / "none"), tmp_path / "index.html"
    )
    assert "not run" in page.read_text(encoding="utf-8")
    data = payload_of(page)
    assert (data["rows"], data["runs"], data["pair"]) == ([], [], None)


def test_the_same_table_in_two_profiles_has_two_places(
    profile: Profile, other_profile: Profile, page_frame: pd.DataFrame, tmp_path: Path
) -> None:
    experiment = load_experiment("ablation_a")
    page = build_page([experiment], [profile, other_profile], page_frame, tmp_path / "index.html")
    text = page.read_text(encoding="utf-8")
    for own in (profile, other_profile):
        assert f'id="table-ablation_a-{own.name}"' in text
    assert len({row["table"] for row in payload_of(page)["rows"]} - {OTHER}) == 2


def test_hostile_text_stays_text_and_damage_is_told(profile: Profile, tmp_path: Path) -> None:
    experiment, store = load_experiment("ablation_a"), Store(tmp_path / "store")
    bad, damaged, *_ = plan_trials(experiment, profile, [0])
    store.write(make_failed_record(bad, "</script><script>alert(1)</script>"), bad)
    store.write(make_record(damaged), damaged)
    store.path("predictions", damaged.id).write_bytes(b"no parquet")
    store.path("answers", damaged.id).unlink()
    untouched = experiment.model_copy(update={"rows": experiment.rows[2:3]})
    page = build_page([untouched], [profile], load(store.root), tmp_path / "index.html")
    assert "<script>alert(1)" not in page.read_text(encoding="utf-8")
    data = payload_of(page)
    assert "</script><script>alert(1)</script>" in {run.get("reason") for run in data["runs"]}
    assert "damaged" in data["problems"][damaged.id]
    assert all("right" not in run for run in data["runs"])


def test_embedded_json_cannot_end_its_element() -> None:
    assert json.loads(embedded_json({"a": "</script>\u2028"})) == {"a": "</script>\u2028"}
    assert "<" not in embedded_json("</script>")
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded_json(float("nan"))


def test_pool_and_rounding() -> None:
    pool = Pool()
    assert [pool.number(v) for v in ({"a": 1, "b": 2}, "x", {"b": 2, "a": 1})] == [0, 1, 0]
    assert pool.values == [{"a": 1, "b": 2}, "x"]
    assert [rounded(v, 3) for v in (1234.5, float("nan"), None, "x", 0.0012345)] == [
        1230.0,
        None,
        None,
        None,
        0.00123,
    ]


def test_most_flipped_counts_over_comparisons(profile: Profile, tmp_path: Path) -> None:
    store, book = Store(tmp_path / "store"), AnswerBook()
    weak, _, _, strong, other = plan_trials(load_experiment("ablation_a"), profile, [0])
    for planned, top1 in ((weak, 40.0), (strong, 90.0), (other, 90.0)):
        record = make_record(planned, top1, seed_sd=0, videos=40)
        store.write(record, planned)
        book.read(str(store.root), planned.id, "m")
    pairs = [({0: strong.id}, {0: weak.id}), ({0: other.id}, {0: weak.id})]
    found = most_flipped(pairs, book, 100)
    twice = (book.right(strong.id) == book.right(other.id)) & (book.right(strong.id) != book.right(weak.id))
    assert {place for _, place in found[: twice.sum()]} == set(np.flatnonzero(twice).tolist())
    assert most_flipped(pairs, book, 3) == found[:3]
    assert most_flipped([({0: strong.id}, {1: weak.id})], book, 3) == []


def test_frames_come_from_the_very_dataset_of_the_records(tmp_path: Path) -> None:
    spec = ScriptedDigits(
        actors=(0,), scripts=("RR", "LL"), videos_per_class=VideosPerClass(train=1, val=1, test=2)
    )
    declared = spec.model_dump(mode="json")
    frames, missing = strips_of(declared, "m", ["test_0_RR_000"], tmp_path)
    assert frames == {} and "harness data prepare" in missing
    info = prepare(spec, tmp_path, workers=1)
    frames, missing = strips_of(declared, info.manifest_hash, ["test_0_RR_000", "unknown"], tmp_path)
    assert missing == "" and list(frames) == ["test_0_RR_000"]
    assert base64.b64decode(frames["test_0_RR_000"].split(",")[1])[:2] == b"\xff\xd8"
    assert "not the one of the records" in strips_of(declared, "other", [], tmp_path)[1]
    assert "say where its videos lie" in strips_of({"name": "kinetics_400"}, "m", [], tmp_path)[1]
