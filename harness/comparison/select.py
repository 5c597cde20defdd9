"""What a reader writes for a method, and the row of an experiment that it means.

dsa                              a short name of BASELINES
DSA+I3D 4x4                      a row, where its name means one network in all experiments
ablation_a:DSA+I3D 4x4           a row of an experiment; `/` in place of `:` will do
my_table.yaml:my row             a row of an experiment of one's own
aggregation=dsa,model=i3d_r18 records by the columns of `harness.results.load()`
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.base.errors import UserError, near_match
from harness.experiment.load import experiment_names, load_all_experiments, load_experiment
from harness.experiment.spec import Experiment, Row

# Short names of the reproduced baselines: the row whose records they stand for. R18 rows are table (a)'s and
# (h)'s, R50 rows are the final models of tables (f) to (h).
BASELINES = {
    "dsa": ("ablation_a", "DSA+I3D 4x4"),
    "v4d": ("ablation_a", "V4D+I3D 4x4"),
    "tsn": ("ablation_a", "TSN+I3D 4x4"),
    "i3d": ("ablation_a", "I3D 4x1"),
    "se": ("ablation_h", "SENet+I3D R18"),
    "dsa_r50": ("ablation_g", "DSA+I3D R50"),
    "i3d_r50": ("ablation_g", "I3D R50"),
    "dsa_tsm_r50": ("ablation_g", "DSA+TSM R50"),
    "tsm_r50": ("ablation_g", "TSM R50"),
    "se_r50": ("ablation_h", "SENet+I3D R50"),
}


@dataclass(frozen=True)
class RowRef:
    """A row and the experiment that declares it."""

    experiment: Experiment
    row: Row


class NoSuchRowError(UserError):
    """Nothing is called so: what holds a `=` may still choose records by their columns."""


def find_row(text: str, experiment: str | None = None) -> RowRef:
    """The row that `text` means (see above); `experiment` is where bare row names are looked up.

    Raises UserError naming what is near where there is none, and the choices where there are several.
    """
    if not text.strip():
        raise UserError(f"which row? Give a row's name or one of {', '.join(BASELINES)}")
    if experiment is not None:
        return _row_of(load_experiment(experiment), text)
    if text in BASELINES:
        name, row = BASELINES[text]
        return _row_of(load_experiment(name), row)
    named = _split(text)
    if named is not None:
        return _row_of(load_experiment(named[0]), named[1])
    return _anywhere(text)


def _split(text: str) -> tuple[str, str] | None:
    """`experiment:row`: the prefix must be an experiment, as row names may hold `:` and `/` themselves."""
    for separator in (":", "/"):
        prefix, found, row = text.partition(separator)
        if found and (prefix.endswith((".yaml", ".yml")) or prefix in experiment_names()):
            return prefix, row
        if found and separator == ":" and " " not in prefix and not row.startswith(" "):
            close = near_match(prefix, experiment_names())
            raise NoSuchRowError(f"{text!r}: no experiment is called {prefix!r}{close}")
    if text.count(".yaml/") == 1:  # a path has slashes of its own
        prefix, _, row = text.partition(".yaml/")
        return f"{prefix}.yaml", row
    return None


def _row_of(experiment: Experiment, name: str) -> RowRef:
    for row in experiment.rows:
        if row.name == name:
            _refuse_costs(experiment, name)
            return RowRef(experiment, row)
    names = [row.name for row in experiment.rows]
    raise NoSuchRowError(
        f"experiment {experiment.name!r} has no row {name!r}{near_match(name, names)}; its rows: {', '.join(names)}"
    )


def _refuse_costs(experiment: Experiment, name: str) -> None:
    if experiment.measure == "cost":
        raise UserError(f"{experiment.name}:{name}: this table counts costs; nothing in it is trained")


def _anywhere(name: str) -> RowRef:
    """The row of this name in all experiments; one network in several tables is one method."""
    every = [RowRef(e, row) for e in load_all_experiments() for row in e.rows]
    trained = [ref for ref in every if ref.experiment.measure != "cost"]
    found = [ref for ref in trained if ref.row.name == name]
    if not found:
        known = [*BASELINES, *dict.fromkeys(ref.row.name for ref in trained)]
        raise NoSuchRowError(
            f"no row is called {name!r}{near_match(name, known)}. Short names: {', '.join(BASELINES)}; "
            "rows: as in the tables, or EXPERIMENT:ROW; records: column=value"
        )
    if len({_network(ref.row) for ref in found}) > 1:
        choices = ", ".join(f"{ref.experiment.name}:{name}" for ref in found)
        raise UserError(f"{name!r} stands for different networks in several tables; say which: {choices}")
    return found[0]


def _network(row: Row) -> str:
    return row.model_dump_json(exclude={"name", "paper"})
