"""The sentences under a table, made from statistics of the records and never by hand."""

from __future__ import annotations

from harness.base.errors import UserError
from harness.experiment.paper import PaperTable
from harness.methods import Gathered
from harness.statistics.order import Pair, Story, Tau, tell


def story_of(gathered: Gathered, paper: PaperTable | None) -> Story | None:
    """Every fact about the order of a table's rows; None where no row has a record.

    Raises UserError where answers cannot be read, or rows were tested on different videos.
    """
    methods = [method for method in gathered.methods if len(method.lines)]
    if not methods:
        return None
    right = {method.label: method.right() for method in methods}
    if len({right_SV.shape[1] for right_SV in right.values()}) > 1:
        sizes = ", ".join(f"{name} {right_SV.shape[1]}" for name, right_SV in right.items())
        raise UserError(f"rows of one table need the same test videos; they have {sizes}")
    printed = paper.values("top1") if paper is not None else {}
    return tell(
        {m.label: printed.get(m.row.paper_row) if m.row else None for m in gathered.methods},
        right,
        {method.label: method.seeds for method in methods},
        paper.test_videos if paper is not None and paper.test_videos else 5000,
    )


def reading_of(story: Story | None) -> str:
    """Short plain sentences: pairs resolved, pairs that point as in the paper, tau, the paper's own limits."""
    if story is None:
        return ""
    parts = [_resolved_text(story), _direction_text(story), _paper_text(story), _missing_text(story)]
    return " ".join(part for part in parts if part)


def _resolved_text(story: Story) -> str:
    n, count = len(story.pairs), sum(pair.resolved for pair in story.pairs)
    if n == 0:
        return "Fewer than two rows have results: there is nothing to order."
    if n == 1:
        return f"The one pair of rows is {'' if count else 'not '}resolved here."
    return f"{count} of {n} pairs of rows {'is' if count == 1 else 'are'} resolved here."


def _direction_text(story: Story) -> str:
    ways = [direction.same for direction in story.directions]
    if not ways:
        return "The paper gives no two numbers to order these rows by." if story.pairs else ""
    if len(ways) == 1:
        way = {True: "points the same way", False: "points the other way", None: "meets a tie"}[ways[0]]
        return f"The paper's difference {way}."
    same, tied = ways.count(True), ways.count(None)
    text = f"{same} of the paper's {len(ways)} differences {'points' if same == 1 else 'point'} the same way"
    if tied:
        text += f", {tied} {'is' if tied == 1 else 'are'} tied"
    return f"{text}{_tau_text(story.tau)}."


def _tau_text(tau: Tau) -> str:
    if tau.value is None or tau.n_rows < 3:
        return ""
    interval = "" if tau.low is None else f", 95 % interval {tau.low:.2f} to {tau.high:.2f}"
    return f" (Kendall's tau {tau.value:.2f}{interval})"


def _paper_text(story: Story) -> str:
    n, unresolved = len(story.directions), sum(not d.paper_resolved for d in story.directions)
    if not unresolved:
        return ""
    subject = "It is" if n == 1 else f"{unresolved} of the paper's own differences are"
    if n > 1 and unresolved == 1:
        subject = "1 of the paper's own differences is"
    return f"{subject} smaller than its {story.paper_videos:,} test videos can resolve."


def _missing_text(story: Story) -> str:
    n = len(story.missing)
    return f"{n} row{'s have' if n > 1 else ' has'} no result yet." if n else ""


def resolved_note(story: Story | None) -> tuple[str, ...]:
    """The resolved pairs by name and size, the largest first."""
    pairs = [pair for pair in story.pairs if pair.resolved] if story is not None else []
    if not pairs:
        return ()
    after_holm = sum(pair.p_adjusted is not None and pair.p_adjusted < 0.05 for pair in pairs)
    texts = [_pair_text(pair) for pair in sorted(pairs, key=lambda pair: -abs(pair.difference))]
    return (
        "Resolved pairs, points of top-1 with the paired 95 % interval "
        f"({after_holm} of {len(texts)} also after Holm's correction over the table): {'; '.join(texts)}.",
    )


def _pair_text(pair: Pair) -> str:
    a, b, low, high = pair.row_a, pair.row_b, pair.low or 0.0, pair.high or 0.0
    if pair.difference < 0:
        a, b, low, high = b, a, -high, -low
    return f"{a} over {b} by {abs(pair.difference):.1f} ({low:.1f} to {high:.1f})"
