"""Scripted Digits: the classes and videos of a specification, and its order-blind ceiling.

A class is an actor (a handwritten digit) times a script: a few events in order, each a move (R, L, U, D) or
a stand-still (-). The actor is appearance, a move is short-term motion, and the script's order and timing
need a look across the whole video. The knobs are
`harness.experiment.datasets.ScriptedDigits`; see `draw` for the pixels.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from harness.data.dataset import Role
from harness.experiment.datasets import ScriptedDigits

SPLITS = ("train", "val", "test")
SPLIT_OF: dict[Role, str] = {"train": "train", "select": "val", "report": "test"}
FAMILIES = ("motion", "order", "position")


@dataclass(frozen=True)
class VideoKey:
    """One video of the dataset: all that its pixels depend on, beside the spec."""

    split: str
    label: int
    actor: int
    script: str
    k: int

    @property
    def video_id(self) -> str:
        """Unique in the dataset and safe as a file name; `s` stands for the script's stand-still."""
        return f"{self.split}_{self.actor}_{self.script.replace('-', 's')}_{self.k:03d}"


@dataclass(frozen=True)
class ScriptClass:
    """One class: actor times script."""

    label: int
    class_name: str
    actor: int
    script: str
    family: str


def classes(spec: ScriptedDigits) -> list[ScriptClass]:
    """The classes in label order: actors outside, scripts inside."""
    pairs = [(actor, script) for actor in spec.actors for script in spec.scripts]
    return [
        ScriptClass(label, f"{actor}:{script}", actor, script, family(script, spec.scripts))
        for label, (actor, script) in enumerate(pairs)
    ]


def video_keys(spec: ScriptedDigits) -> list[VideoKey]:
    """All videos, in the order of the manifest: split, class, number."""
    return [
        VideoKey(split, c.label, c.actor, c.script, k)
        for split in SPLITS
        for c in classes(spec)
        for k in range(getattr(spec.videos_per_class, split))
    ]


def _event_shares(script: str) -> frozenset[tuple[str, Fraction]]:
    """What is left of a script without its order: each event's share of the time."""
    return frozenset((event, Fraction(n, len(script))) for event, n in Counter(script).items())


def family(script: str, scripts: tuple[str, ...]) -> str:
    """What tells `script` from the others with the same events: `motion`, `order` or `position`.

    motion: no other script has these events, so the moves alone tell. order: the moves come in another order
    elsewhere. position: the moves come in the same order everywhere, only at another time.
    """
    alike = [s for s in scripts if s != script and _event_shares(s) == _event_shares(script)]
    if not alike:
        return "motion"
    moves = script.replace("-", "")
    return "position" if all(s.replace("-", "") == moves for s in alike) else "order"


def order_blind_ceiling(spec: ScriptedDigits) -> float:
    """Best share of right scripts (0-1) for a model that sees the multiset of snippets and never their order.

    Scripts with the same events in the same shares are one to it, and it can name only one script of each
    such group; the classes are balanced. The snippets are taken to be shorter than lead and gap: a long clip
    that spans the change between two events sees their order and may pass this ceiling.
    """
    return len({_event_shares(script) for script in spec.scripts}) / len(spec.scripts)


def chance(spec: ScriptedDigits) -> float:
    """Share of right classes (0-1) of a blind guess."""
    return 1 / (len(spec.actors) * len(spec.scripts))


def label_swaps(spec: ScriptedDigits) -> tuple[tuple[int, int], ...]:
    """Pairs of labels that a mirror turns into one another: the same actor, right and left exchanged."""
    label = {(c.actor, c.script): c.label for c in classes(spec)}
    mirrored = str.maketrans("RL", "LR")
    pairs = ((n, label.get((actor, script.translate(mirrored)), n)) for (actor, script), n in label.items())
    return tuple((one, other) for one, other in pairs if one < other)
