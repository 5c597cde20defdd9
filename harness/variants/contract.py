"""The whole contract of a variant, each point in plain words.

report = check_variant(Path("my_module.py"))
report.ok, report.findings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.trial.seeding import set_numerics
from harness.variants import checks, network
from harness.variants.network import reference_trial, start_fresh
from harness.variants.subject import Broken, Finding, Subject, load_subject, load_subjects

MODULE_CHECKS: dict[str, Callable[[Subject], str]] = {
    "options": checks.options,
    "shapes": checks.shapes,
    "snippets": checks.snippets,
    "gradients": checks.gradients,
    "one video at a time": checks.one_video_at_a_time,
    "evaluation": checks.evaluation,
    "reach": checks.reach,
    "unusual values": checks.unusual_values,
    "checkpoints": checks.checkpoints,
    "cost": network.cost,
}
MODEL_CHECKS: dict[str, Callable[[Subject], str]] = {
    "scores": network.scores,
    "places": network.places,
    "cost": network.cost,
}


@dataclass(frozen=True)
class CheckReport:
    """Findings in the order of the checks; `ok` where none is broken."""

    file: str
    name: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)


def check_variant(path: Path, options: Mapping[str, Any] | None = None) -> CheckReport:
    """Run every check on the one module or model of a variant's file.

    Raises UserError where there is nothing to check: the file cannot be read or run, does not register one
    thing, or that has no such option.
    """
    return check_subject(load_subject(path, options or {}))


def check_all(path: Path, options: Mapping[str, Any] | None = None) -> list[CheckReport]:
    """`check_variant` of everything that the file registers."""
    return [check_subject(subject) for subject in load_subjects(path, options or {})]


def check_subject(subject: Subject) -> CheckReport:
    """Every check of its kind; only the first where it cannot even be built."""
    file = subject.path.name
    with_place = run_check("place", _place, subject)
    if not with_place.ok:  # nothing can be built: every other check would say the same
        return CheckReport(file, subject.name, (with_place,))
    process = start_fresh(subject)
    try:
        set_numerics(reference_trial(subject).numerics)
        chosen = MODEL_CHECKS if subject.kind == "model" else MODULE_CHECKS
        findings = [run_check(name, check, subject) for name, check in chosen.items()]
        findings.append(run_check("same numbers", lambda s: network.travels(s, process), subject))
    finally:
        process.kill()  # no effect on one that has answered
        process.communicate()
    return CheckReport(file, subject.name, (with_place, *findings))


def _place(subject: Subject) -> str:
    """It can be declared in a row and built."""
    if subject.kind == "model":
        model = reference_trial(subject).network
        return f"{model.model!r} can be named in a row, with options {model.options}"
    checks.options(subject)
    placed = network.placed(reference_trial(subject), subject)
    subject.module()
    places = ", ".join(f"{stage} block {'+'.join(map(str, b))}" for stage, b in placed.placement.items())
    whose = "its own place" if subject.kind == "inside" else "the DSA row's place"
    return f"{subject.name!r} can stand at position {placed.position} of {places} ({whose})"


def run_check(name: str, check: Callable[[Subject], str], subject: Subject) -> Finding:
    """One check as a finding; what the module itself raises is one, too."""
    try:
        return Finding(name, True, check(subject))
    except Broken as broken:
        return Finding(name, False, broken.seen, broken.remedy)
    except Exception as error:  # the user's code may raise anything
        message = (str(error).strip().splitlines() or ["no message"])[0][:300]
        seen = f"raised {type(error).__name__}: {message}{subject.line_of(error)}"
        where = (
            "mend this line"
            if subject.line_of(error)
            else "see what forward gives to torch, or where it is built"
        )
        return Finding(name, False, seen, f"{where}; the whole contract is in docs/variants.md")
