"""What must be said under a table: whose records, what is not the paper's, what is missing and why."""

from __future__ import annotations

from harness.experiment.datasets import dataset_title
from harness.experiment.paper import PaperNumbers, PaperTable
from harness.experiment.spec import Row, Trial
from harness.methods import NOT_RUN, Gathered, Method
from harness.methods.fairness import table_notes
from harness.results.metrics import metric

SHIPPED = (
    "All of our numbers are from the baselines that ship with the project, not from runs on this machine."
)
OWN = "All of our numbers are from your own runs."
MIXED = (
    "Column 'records': 'shipped' rows are baselines that ship with the project, 'yours' are your own runs."
)


def notes_of(gathered: Gathered, printed: PaperTable | None, numbers: PaperNumbers) -> tuple[str, ...]:
    """All notes of an accuracy table, the most important first: what is missing or odd, then what it is made of."""
    return (
        *_problem_notes(gathered),
        *_dead_notes(gathered),
        *table_notes(gathered.methods, gathered.allowed),
        *_origin_note(gathered),
        *_paper_note(gathered, printed, numbers),
        *_protocol_note(gathered),
        *gathered.profile.deviations,
        *gathered.experiment.notes,
        *_ceiling_note(gathered),
    )


def _dead_notes(gathered: Gathered) -> list[str]:
    """Several seeds that agree to the last digit: dead networks, most likely, and no measured certainty."""
    first = gathered.experiment.columns[0]
    dead = [m.label for m in gathered.methods if len(m.values(first)) > 1 and len(set(m.values(first))) == 1]
    if not dead:
        return []
    return [
        f"All seeds of {', '.join(dead)} have the very same {metric(first).title}: no spread to judge by."
    ]


def _origin_note(gathered: Gathered) -> list[str]:
    origins = {method.source for method in gathered.methods} - {None}
    if not origins:
        return []
    return [SHIPPED if origins == {"baselines"} else OWN if origins == {"runs"} else MIXED]


def _paper_note(gathered: Gathered, printed: PaperTable | None, numbers: PaperNumbers) -> list[str]:
    if printed is None:
        return []
    videos = f" ({printed.test_videos:,} test videos)" if printed.test_videos else ""
    text = f"'paper' columns: as printed by {numbers.source}, on {dataset_title(printed.dataset)}{videos}."
    setting = f" The paper's setting: {printed.setting}." if printed.setting else ""
    other = printed.dataset != gathered.profile.dataset.name
    return [
        text + setting + (" Never subtracted from ours: only the order of rows compares." if other else "")
    ]


def _protocol_note(gathered: Gathered) -> list[str]:
    """Which rows are tested on other views than the row declares (the paper's)."""
    changed = [m for m in gathered.methods if m.row and not m.components and _views(m.trial) != _views(m.row)]
    if not changed:
        return []
    whole = len(changed) == len(gathered.methods)
    who = "all rows" if whole else ", ".join(method.label for method in changed)
    declared = "; ".join(sorted({_views(method.row) for method in changed if method.row}))
    return [f"Test views are the profile's for {who}; the experiment declares {declared}."]


def _views(declared: Row | Trial) -> str:
    test = declared.test
    return f"{test.U} snippets × {test.crops} crops ({test.grouping})"


def _ceiling_note(gathered: Gathered) -> list[str]:
    done = gathered.done
    if "provenance_order_blind_ceiling" not in done:
        return []
    shares = sorted(set(done["provenance_order_blind_ceiling"].dropna().astype(float)))
    percent = " or ".join(f"{100 * share if share <= 1 else share:.0f}" for share in shares)
    return (
        [f"Blind to the order of snippets, no model can pass {percent} % top-1 on this dataset."]
        if percent
        else []
    )


def _problem_notes(gathered: Gathered) -> list[str]:
    """One line a reason that is not simply `not run`, then the rows that wait for their run."""
    told = [note for method in gathered.methods for note in _row_problems(method)]
    waiting = [
        m.label for m in gathered.methods if set(m.problems.values()) == {NOT_RUN} and not len(m.lines)
    ]
    if waiting:
        command = f"harness run {gathered.experiment.name} --profile {gathered.profile.name}"
        told.append(f"Not run yet: {', '.join(waiting)} (`{command}`).")
    return told


def _row_problems(method: Method) -> list[str]:
    reasons = [r for r in dict.fromkeys(method.problems.values()) if r != NOT_RUN or len(method.lines)]
    return [
        f"{method.label}, seed {', '.join(str(s) for s, why in method.problems.items() if why == r)}: {r}."
        for r in reasons
    ]
