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
from harness.variants.subject import Broken, Finding, Subject, load_subject

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
    """Run every check on the module of a variant's file.

    Raises UserError where there is nothing to check: the file cannot be read or run, does not register one
    module, or has no such option.
    """
    subject = load_subject(path, options or {})
    with_place = run_check("place", _place, subject)
    if not with_place.ok:  # nothing can be built: every other check would say the same
        return CheckReport(path.name, subject.name, (with_place,))
    process = start_fresh(subject)
    try:
        set_numerics(reference_trial(subject).numerics)
        findings = [run_check(name, check, subject) for name, check in MODULE_CHECKS.items()]
        findings.append(run_check("same numbers", lambda s: network.travels(s, process), subject))
    finally:
        process.kill()  # no effect on one that has answered
        process.communicate()
    return CheckReport(path.name, subject.name, (with_place, *findings))


def _place(subject: Subject) -> str:
    """It can be declared in a row and built."""
    checks.options(subject)
    trial = reference_trial(subject)
    subject.module()
    places = ", ".join(
        f"{stage} block {'+'.join(map(str, b))}" for stage, b in trial.network.placement.items()
    )
    return (
        f"{subject.name!r} can stand at position {trial.network.position} of {places} (the DSA row's place)"
    )


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
