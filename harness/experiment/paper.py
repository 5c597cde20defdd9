"""The paper's numbers, typed, from one file (experiments/paper.yaml) that holds nothing of ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from harness.base.errors import UserError, near_match
from harness.experiment.base import Frozen
from harness.experiment.explain import validate
from harness.experiment.load import EXPERIMENTS
from harness.experiment.yaml_file import read_yaml

Dataset = Literal["mini_kinetics_200", "kinetics_400", "activitynet_1_3", "something_v1", "none"]
PAPER_METRICS = ("top1", "top5", "map", "params_m", "gflops")


class PaperRow(Frozen):
    """One printed line. Accuracies in percent, `gflops` in 1e9 multiply-adds of one view; None: not printed.

    `t_*`, `u_*` and `crops` are text as printed ("4+8": two networks averaged). `views` is the factor by
    which the paper multiplies `gflops` at test time.
    """

    method: str
    backbone: str
    note: str | None = None
    t_train: str | None = None
    u_train: str | None = None
    t_infer: str | None = None
    u_infer: str | None = None
    crops: str | None = None
    top1: float | None = Field(default=None, ge=0, le=100)
    top5: float | None = Field(default=None, ge=0, le=100)
    map: float | None = Field(default=None, ge=0, le=100)
    params_m: PositiveFloat | None = None
    gflops: PositiveFloat | None = None
    views: PositiveFloat | None = None

    @property
    def train_text(self) -> str | None:
        """`4×4`, T × U in training; None where the paper does not print it."""
        return _times(self.t_train, self.u_train)

    @property
    def infer_text(self) -> str | None:
        """`4×8×3`, T × U × crops at test time; None where the paper does not print it."""
        return _times(self.t_infer, self.u_infer, self.crops)


def _times(*parts: str | None) -> str | None:
    return None if None in parts else "×".join(f"({p})" if p and "+" in p else str(p) for p in parts)


class PaperTable(Frozen):
    """One table of the paper; `test_videos` decides which differences its accuracies can resolve."""

    title: str
    dataset: Dataset
    setting: str = ""
    test_videos: PositiveInt | None = None
    rows: dict[str, PaperRow] = Field(min_length=1)

    def values(self, metric: str) -> dict[str, float]:
        """Row name -> the printed number; rows without one are left out. UserError on an unknown metric."""
        if metric not in PAPER_METRICS:
            raise UserError(f"the paper's tables have no {metric!r}{near_match(metric, PAPER_METRICS)}")
        found = {name: getattr(row, metric) for name, row in self.rows.items()}
        return {name: value for name, value in found.items() if value is not None}


class PaperNumbers(Frozen):
    """All of the paper's tables and where they were taken from."""

    source: str
    tables: dict[str, PaperTable]

    def table(self, name: str) -> PaperTable:
        """The table `a` … `i`, or a benchmark by its dataset's name. Raises UserError where there is none."""
        if name not in self.tables:
            raise UserError(
                f"paper_table: the paper has no table {name!r}{near_match(name, self.tables)}; "
                f"there are: {', '.join(self.tables)}"
            )
        return self.tables[name]


@cache
def load_paper(path: Path = EXPERIMENTS / "paper.yaml") -> PaperNumbers:
    """Read and check the paper's numbers. Raises UserError naming file, line and key of every mistake."""
    return validate(PaperNumbers, read_yaml(path), path)
