"""The contract finds what it promises to find, in plain words; the shipped variants keep it."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from harness.base.errors import UserError
from harness.cli.main import main
from harness.experiment.load import EXPERIMENTS
from harness.models import list_aggregations
from harness.variants import checks, network
from harness.variants.contract import MODULE_CHECKS, CheckReport, check_all, check_variant, run_check
from harness.variants.subject import Finding, Subject, load_subject

SHIPPED = sorted((EXPERIMENTS / "variants").glob("*.py"))
NUMBER = itertools.count()

MODULE = """import os
import torch
from torch import nn
from harness.models import register_aggregation
BUILT = []
{top}
@register_aggregation("{name}", stages=("res3",))
class Module(nn.Module):
    any_U = {any_U}
    def __init__(self, channels, U, *{options}):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        {init}
    def forward(self, x):
        y = x * self.weight[:, None, None, None]
        {forward}
"""


def write(folder: Path, forward: str = "return y", **parts: str) -> Path:
    """A variant's file; with no part given, one that keeps the contract."""
    name = f"test_module_{next(NUMBER)}"
    fill = {"top": "", "any_U": "True", "options": ", gain=1.0", "init": "", **parts}
    path = folder / f"{name}.py"
    path.write_text(MODULE.format(name=name, forward=forward, **fill), encoding="utf-8")
    return path


def subject(folder: Path, forward: str = "return y", **parts: str) -> Subject:
    return load_subject(write(folder, forward, **parts), {})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
@pytest.mark.parametrize("check", [name for name in MODULE_CHECKS if name != "cost"])
def test_shipped_variants_keep_the_contract(path: Path, check: str) -> None:
    finding = run_check(check, MODULE_CHECKS[check], load_subject(path, {}))
    assert finding.ok, finding


@pytest.mark.parametrize("options", [{"kernel": 5}, {"kernel": 1}])
def test_options_reach_the_module(options: dict[str, int]) -> None:
    module = load_subject(EXPERIMENTS / "variants" / "temporal_conv.py", options).module()
    assert module.conv.kernel_size == (options["kernel"], 1)


BROKEN = {
    "keeps one snippet": ("shapes", "return y[:, :1]", {}, "became"),
    "returns a tuple": ("shapes", "return y, y", {}, "returned tuple"),
    "ignores U": (
        "snippets",
        "return y + self.mix",
        {"init": "self.mix = torch.ones(4, 1, 1, 1, 1)"},
        "built for U=2",
    ),
    "claims any U": (
        "snippets",
        "return self.mix(y.transpose(1, -1)).transpose(1, -1)",
        {"init": "self.mix = nn.Linear(U, U)"},
        "any_U is True",
    ),
    "cuts the gradient": ("gradients", "return y.detach() + self.weight.sum()", {}, "reaches the input"),
    "unused parameter": (
        "gradients",
        "return y",
        {"init": "self.idle = nn.Linear(2, 2)"},
        "idle.bias, idle.weight",
    ),
    "no gradient at all": ("gradients", "return y.detach()", {}, "the input, weight"),
    "root of zero": ("unusual values", "return y / y.std((3, 4, 5), keepdim=True)", {}, "zeros maps"),
    "leaks across videos": ("one video at a time", "return y + x.mean(0, keepdim=True)", {}, "other videos"),
    "folds N into U": (
        "one video at a time",
        "return y + x.flatten(0, 1).roll(1, 0).view_as(x)",
        {},
        "other videos",
    ),
    "counts the batch": ("one video at a time", "return y * x.shape[0]", {}, "alone"),
    "in place": ("evaluation", "return x.mul_(2) * self.weight.sum()", {}, "in place"),
    "random in eval": ("evaluation", "return y + torch.rand_like(y)", {}, "differ in eval"),
    "learns in eval": (
        "evaluation",
        "self.seen += 1; return y",
        {"init": 'self.register_buffer("seen", torch.zeros(()))'},
        "changes seen",
    ),
    "hidden tensor": ("checkpoints", "return y * self.w", {"init": "self.w = torch.randn(())"}, "state dict"),
    "does not pickle": ("checkpoints", "return self.f(y)", {"init": "self.f = lambda y: y"}, "raised"),
    "needs values": ("cost", "return y if y.sum().item() > 0 else -y", {}, "without data"),
    "no default": ("options", "return y", {"options": ", gain"}, "no default"),
    "default is None": ("options", "return y", {"options": ", gain=None"}, "the default None"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_module_is_found_and_told_what_to_do(case: str, tmp_path: Path) -> None:
    check, forward, parts, words = BROKEN[case]
    broken = subject(tmp_path, forward, **parts)
    finding = run_check(check, MODULE_CHECKS[check], broken)
    assert not finding.ok
    assert words in finding.seen
    assert finding.remedy


def test_a_module_that_raises_names_its_line(tmp_path: Path) -> None:
    finding = run_check("shapes", checks.shapes, subject(tmp_path, "return y @ torch.ones(99)"))
    assert "line 16 of test_module_" in finding.seen and not finding.ok


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        ("return y", "no snippet sees another"),
        ("return y + x.roll(1, 1)", "up to 3 snippets away"),
        ("return y + x.mean(1, keepdim=True)", "all others"),
    ],
)
def test_reach_says_which_snippets_meet(forward: str, words: str, tmp_path: Path) -> None:
    assert words in checks.reach(subject(tmp_path, forward))


class Answered:
    """A fresh process that has given its answer."""

    returncode = 0

    def __init__(self, digest: str, drew_at_import: bool = False) -> None:
        self.out = json.dumps({"digest": digest, "drew_at_import": drew_at_import})

    def communicate(self, timeout: float) -> tuple[str, str]:
        return self.out, ""


def _travel(one: Subject, process: object) -> Finding:
    return run_check("same numbers", lambda s: network.travels(s, process), one)


def test_numbers_that_depend_on_the_past_are_found(tmp_path: Path) -> None:
    counts = subject(tmp_path, "return y * self.n", init="BUILT.append(1); self.n = len(BUILT)")
    finding = _travel(counts, Answered("other"))
    assert "second time" in finding.seen


def test_numbers_of_another_process_must_be_the_same(tmp_path: Path) -> None:
    same = subject(tmp_path)
    digest = network.fingerprint(network.reference_trial(same)).digest
    assert _travel(same, Answered(digest)).ok
    assert "another process" in _travel(same, Answered("other")).seen


def test_random_numbers_at_import_are_found_in_a_fresh_process(tmp_path: Path) -> None:
    draws = subject(tmp_path, top="torch.rand(3)")
    assert "importing the file draws" in _travel(draws, network.start_fresh(draws)).seen


def test_a_file_that_needs_its_neighbour_fails_in_a_fresh_process(tmp_path: Path) -> None:
    beside = tmp_path / "beside.txt"
    beside.write_text("3", encoding="utf-8")
    needs = subject(tmp_path, top=f"open({str(beside)!r}).close()")
    beside.unlink()
    finding = _travel(needs, network.start_fresh(needs))
    assert "a fresh process" in finding.seen and "beside.txt" in finding.seen


def test_a_fresh_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FRESH_SECONDS", 0.2)
    process = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finding = _travel(subject(tmp_path), process)
    assert "did not answer" in finding.seen
    assert process.returncode is not None


UNREADABLE = {
    "syntax error": ("def forward(self:\n", ":1: the variant's file does not run: SyntaxError"),
    "raises at import": (
        "x = 1\nraise RuntimeError('no disk')\n",
        ":2: the variant's file does not run: RuntimeError",
    ),
    "no module": ("x = 1\n", "registers nothing"),
    "a name that is taken": (
        "from torch import nn\nfrom harness.models import register_aggregation\n"
        "@register_aggregation('dsa')\nclass Mine(nn.Module): pass\n",
        "already registered",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_checked_is_bad_input(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, words = UNREADABLE[case]
    path = tmp_path / f"{case.replace(' ', '_')}.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(SystemExit) as exit_:
        main(["check-variant", str(path)])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2
    assert err.startswith("error: ") and words in err and "Traceback" not in out + err


INSIDE_AND_MODEL = """
import torch
from torch import nn
from harness.models import Head, register_inside, register_model
from harness.models.network import Backbone, Place, PlaceName

@register_inside("test_scale", stages=("res3",))
class Scale(nn.Module):
    def __init__(self, channels, *, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, 1, 1, 1), gain))
    def forward(self, x):
        return {forward}

class Net(Backbone):
    def __init__(self, width):
        super().__init__()
        self.channels, self.stem, self.place = width, nn.Conv3d(3, width, 3, padding=1), Place(width)
    def steps(self):
        return [self.stem, self.place]
    def places(self):
        return {PlaceName("only", 1, "after"): self.place}

class Mean(Head):
    def __init__(self, width, classes):
        super().__init__()
        self.fc = nn.Linear(width, classes)
    def forward(self, maps, U, boxes=None):
        return self.fc(maps.mean((2, 3, 4))).unflatten(0, (-1, U))

@register_model()
def test_net(num_classes: int, *, width: int = 4):
    return Net(width), Mean(width, {classes})
"""


def _two(path: Path, forward: str, classes: str = "num_classes") -> Path:
    source = INSIDE_AND_MODEL.replace("{forward}", forward).replace("{classes}", classes)
    path.write_text(source.replace("test_scale", path.stem).replace("test_net", f"{path.stem}_net"))
    return path


def _checked(path: Path) -> dict[str, CheckReport]:
    return {report.name: report for report in check_all(path)}


def test_a_file_may_hold_a_module_inside_the_snippet_and_a_model(tmp_path: Path) -> None:
    reports = _checked(_two(tmp_path / "two_good.py", "x * self.weight"))
    assert list(reports) == ["two_good_net", "two_good"]
    assert all(report.ok for report in reports.values()), reports
    seen = {finding.check: finding.seen for finding in reports["two_good"].findings}
    assert "at position I of res3 block 1+2 (its own place)" in seen["place"]
    assert seen["reach"].startswith("no snippet sees another")
    seen = {finding.check: finding.seen for finding in reports["two_good_net"].findings}
    assert seen["places"] == "1 places in only"
    assert "gradients reach all 4 parameters" in seen["scores"]
    assert "same seed, same numbers" in seen["same numbers"]


def test_a_module_inside_that_mixes_snippets_and_a_model_of_other_classes_are_found(tmp_path: Path) -> None:
    reports = _checked(_two(tmp_path / "two_bad.py", "x * self.weight + x.roll(1, 0)", "num_classes + 1"))
    broken = {name: [f.check for f in r.findings if not f.ok] for name, r in reports.items()}
    assert "reach" in broken["two_bad"]
    assert broken["two_bad_net"] == ["scores"]


def test_where_one_is_wanted_several_are_refused(tmp_path: Path) -> None:
    path = _two(tmp_path / "two_more.py", "x * self.weight")
    with pytest.raises(UserError, match=r"registers 2 things \(model 'two_more_net', inside 'two_more'\)"):
        check_variant(path)


def test_an_unknown_option_is_bad_input() -> None:
    with pytest.raises(UserError, match=r"no option 'kernle' \(did you mean 'kernel'\?\)"):
        check_variant(EXPERIMENTS / "variants" / "temporal_conv.py", {"kernle": 3})


def test_the_command_says_ok_for_the_template(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["check-variant", str(EXPERIMENTS / "variants" / "temporal_conv.py"), "--option", "kernel=5"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0, out
    assert "'temporal_conv' keeps the contract (12 checks)" in out
    assert "both counters agree; on I3D R18" in out
    assert "temporal_conv" in list_aggregations()


def test_the_command_says_what_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "return y", options=", gain=None")
    with pytest.raises(SystemExit) as exit_:
        main(["check-variant", str(path), "--json"])
    (report,) = json.loads(capsys.readouterr().out)
    assert exit_.value.code == 1
    assert not report["ok"] and [f["check"] for f in report["findings"] if not f["ok"]] == ["place"]
