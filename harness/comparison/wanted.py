"""A method that is asked for: what would have to run for it, and its records once they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.base.errors import UserError
from harness.base.text import first_line
from harness.comparison.select import NoSuchRowError, RowRef, find_row
from harness.experiment.spec import Experiment, Profile
from harness.methods import Method, method_of_records, method_of_trials
from harness.models.variant import load_variant
from harness.plan.expand import Planned, plan_trials
from harness.variants.place import option_grid, variant_row


@dataclass(frozen=True)
class WantedRow:
    """A row of an experiment (`experiment` is cut to that row), or a variant in such a row's place.

    variant  the file, which `experiment` names as well
    """

    experiment: Experiment
    origin: str
    variant: Path | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        return self.experiment.rows[0].name

    def trials(self, profile: Profile, seeds: Sequence[int]) -> list[Planned]:
        """One trial a seed. Raises UserError for a network that cannot be built, whatever a variant raises."""
        try:
            return plan_trials(self.experiment, profile, seeds)
        except Exception as error:
            if self.variant is None or isinstance(error, UserError):
                raise
            raise UserError(
                f"{self.variant}: the module cannot be built: {type(error).__name__}: "
                f"{first_line(error, empty='no message')}; "
                f"`harness check-variant {self.variant}` says more"
            ) from error

    def method(self, frame: pd.DataFrame, profile: Profile, seeds: Sequence[int]) -> Method:
        """The records of these seeds."""
        row = None if self.variant else self.experiment.rows[0]
        differ = {"views", *self.experiment.differ}
        return method_of_trials(
            self.trials(profile, seeds), frame, self.label, self.origin, row=row, differ=differ
        )

    def seeds_done(self, frame: pd.DataFrame, profile: Profile) -> list[int]:
        """Seeds of which there is a record."""
        if not len(frame) or "seed" not in frame:
            return []
        candidates = sorted(frame["seed"].dropna().astype(int).unique().tolist())
        done = set(frame["id"][frame["status"] == "done"])
        return [p.seed for p in self.trials(profile, candidates) if p.id in done]


@dataclass(frozen=True)
class WantedRecords:
    """Records chosen by their columns: nothing to run, and every seed that is there."""

    text: str
    variant: None = None

    @property
    def label(self) -> str:
        return self.text

    def trials(self, profile: Profile, seeds: Sequence[int]) -> list[Planned]:
        return []

    def method(self, frame: pd.DataFrame, profile: Profile, seeds: Sequence[int]) -> Method:
        return method_of_records(self.text, frame)

    def seeds_done(self, frame: pd.DataFrame, profile: Profile) -> list[int]:
        return method_of_records(self.text, frame).seeds


Wanted = WantedRow | WantedRecords


def wanted_row(ref: RowRef) -> WantedRow:
    """The row as it is declared."""
    one = ref.experiment.model_copy(update={"rows": (ref.row,), "baseline": None})
    return WantedRow(one, f"{ref.experiment.name}:{ref.row.name}")


def wanted_variant(path: Path, options: Mapping[str, Any], base: Wanted) -> WantedRow:
    """A variant's file in the place of the base's row.

    Raises UserError where the file does not register one module, or the base is no row with a place to take.
    """
    if not isinstance(base, WantedRow):
        raise UserError(
            f"--baseline {base.label!r}: a variant takes the place of a row; name one (dsa, ablation_a:DSA+I3D 4x4)"
        )
    if not path.is_file():
        raise UserError(
            f"{str(path)!r}: no such file; a variant is one Python file (make compare VARIANT=my_module.py)"
        )
    names, _ = load_variant(path)
    across = [name for kind, name in names if kind == "across"]
    if len(across) != 1:
        found = ", ".join(f"{kind} {name!r}" for kind, name in names)
        raise UserError(
            f"{path}: registers {found}; to stand in the place of a row's module it registers one "
            '@register_aggregation("its_name"). A model, or a module inside the snippet, is compared as a row of an '
            "experiment that names this file under `variants`"
        )
    row = variant_row(base.experiment.rows[0], across[0], options)
    variants = (*base.experiment.variants, str(path.absolute()))
    one = base.experiment.model_copy(update={"rows": (row,), "baseline": None, "variants": variants})
    return WantedRow(one, f"{path} in the place of {base.origin}", path, tuple(options.items()))


def parse_wanted(
    methods: Sequence[str],
    variants: Sequence[Path],
    baseline: str | None,
    options: Sequence[str],
    experiment: str | None = None,
) -> tuple[list[Wanted], Wanted]:
    """The new methods and the base that a command line asks for.

    methods: new ones, the last the base unless `baseline` is given; `*.py` is a variant's file, as are `variants`.
    options: `key=value[,value]` of every variant's module; each combination is a method of its own.
    Raises UserError for whatever cannot be found, loaded or combined.
    """
    names, base_text = (methods, baseline) if baseline is not None else (methods[:-1], "".join(methods[-1:]))
    if not base_text:
        raise UserError(
            "compare what with what? `harness compare NEW BASE`, or --variant FILE --baseline dsa"
        )
    if base_text.endswith(".py"):
        raise UserError(f"{base_text}: a variant can only be NEW; the base is a row (dsa, EXPERIMENT:ROW)")
    files = [*variants, *(Path(n) for n in names if n.endswith(".py"))]
    if not files and not names:
        raise UserError(f"compare what with {base_text!r}? Give a row before it, or --variant FILE")
    if options and not files:
        raise UserError("--option sets an option of a variant's module: it needs --variant FILE")
    base = _one(base_text, experiment)
    new: list[Wanted] = [wanted_variant(f, point, base) for f in files for point in option_grid(options)]
    return [*new, *(_one(n, experiment) for n in names if not n.endswith(".py"))], base


def _one(text: str, experiment: str | None) -> Wanted:
    """A row, else records by their columns: a row may be called `alpha=8`, so names are tried first.

    The column of a selector has no `:` or `/`, so `grid:alpha=9` is a row that there is not.
    """
    try:
        return wanted_row(find_row(text, experiment))
    except NoSuchRowError:
        column = text.partition("=")[0]
        if column == text or ":" in column or "/" in column:
            raise
        return WantedRecords(text)
