"""What must be said under a table: whose records, what is not the paper's, what is missing and why."""

from __future__ import annotations

from harness.experiment.paper import PaperNumbers, PaperTable
from harness.methods.evidence import NOT_RUN, Evidence, RowEvidence

DATASET_NAMES = {
    "scripted_digits": "Scripted Digits",
    "mini_kinetics_200": "Mini-Kinetics-200",
    "kinetics_400": "Kinetics-400",
    "activitynet_1_3": "ActivityNet 1.3",
    "something_v1": "Something-Something V1",
}
SHIPPED = (
    "All of our numbers are from the baselines that ship with the project, not from runs on this machine."
)
OWN = "All of our numbers are from your own runs."
MIXED = (
    "Column 'records': 'shipped' rows are baselines that ship with the project, 'yours' are your own runs."
)


def dataset_name(key: object) -> str:
    """A dataset's name in words."""
    return DATASET_NAMES.get(str(key), str(key))


def notes_of(evidence: Evidence, printed: PaperTable | None, numbers: PaperNumbers) -> tuple[str, ...]:
    """All notes of an accuracy table, the most important first."""
    return (
        *_origin_note(evidence),
        *_paper_note(evidence, printed, numbers),
        *_protocol_note(evidence),
        *evidence.profile.deviations,
        *evidence.experiment.notes,
        *_ceiling_note(evidence),
        *_problem_notes(evidence),
    )


def _origin_note(evidence: Evidence) -> list[str]:
    origins = {row.origin for row in evidence.rows} - {None}
    if not origins:
        return []
    return [SHIPPED if origins == {"baselines"} else OWN if origins == {"runs"} else MIXED]


def _paper_note(evidence: Evidence, printed: PaperTable | None, numbers: PaperNumbers) -> list[str]:
    if printed is None:
        return []
    videos = f" ({printed.test_videos:,} test videos)" if printed.test_videos else ""
    text = f"'paper' columns: as printed by {numbers.source}, on {dataset_name(printed.dataset)}{videos}."
    setting = f" The paper's setting: {printed.setting}." if printed.setting else ""
    other = printed.dataset != evidence.profile.dataset.get("name")
    return [
        text + setting + (" Never subtracted from ours: only the order of rows compares." if other else "")
    ]


def _protocol_note(evidence: Evidence) -> list[str]:
    """Which rows are tested on other views than the row declares (the paper's)."""
    changed = [row for row in evidence.rows if row.trial.test != row.row.test]
    if not changed:
        return []
    who = "all rows" if len(changed) == len(evidence.rows) else ", ".join(row.row.name for row in changed)
    declared = "; ".join(sorted({_views(row) for row in changed}))
    return [f"Test views are the profile's for {who}; the experiment declares {declared}."]


def _views(row: RowEvidence) -> str:
    test = row.row.test
    return f"{test.U} snippets × {test.crops} crops ({test.grouping})"


def _ceiling_note(evidence: Evidence) -> list[str]:
    done = evidence.done
    if "provenance_order_blind_ceiling" not in done:
        return []
    shares = sorted(set(done["provenance_order_blind_ceiling"].dropna().astype(float)))
    percent = " or ".join(f"{100 * share if share <= 1 else share:.0f}" for share in shares)
    return (
        [f"Blind to the order of snippets, no model can pass {percent} % top-1 on this dataset."]
        if percent
        else []
    )


def _problem_notes(evidence: Evidence) -> list[str]:
    """One line a reason that is not simply `not run`, then the rows that wait for their run."""
    told = [note for row in evidence.rows for note in _row_problems(row)]
    waiting = [
        row.row.name for row in evidence.rows if set(row.problems.values()) == {NOT_RUN} and row.done.empty
    ]
    if waiting:
        command = f"harness run {evidence.experiment.name} --profile {evidence.profile.name}"
        told.append(f"Not run yet: {', '.join(waiting)} (`{command}`).")
    return told


def _row_problems(row: RowEvidence) -> list[str]:
    reasons = [r for r in dict.fromkeys(row.problems.values()) if r != NOT_RUN or not row.done.empty]
    return [
        f"{row.row.name}, seed {', '.join(str(s) for s, why in row.problems.items() if why == r)}: {r}."
        for r in reasons
    ]
