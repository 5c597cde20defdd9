"""A checkpoint holds everything, or is not trusted at all."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.base.errors import StorageError
from harness.trial import state as state_module
from harness.trial.state import Checkpoints, Position

HISTORY = [{"epoch": 1, "loss": 0.5}]
SCALER = torch.amp.GradScaler("cpu", enabled=False)


def _save(
    folder: Path,
    trial: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
) -> None:
    sums = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    Checkpoints(folder, trial).save(Position(history, 7, sums, 4.5), model, optimizer, SCALER)


def _restore(
    folder: Path, trial: str, model: nn.Module, optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    at = Checkpoints(folder, trial).restore(model, optimizer, SCALER)
    assert (at.step, at.sums.tolist(), at.seconds) == (
        (7, [1.0, 2.0, 3.0], 4.5) if at.history else (0, [0.0, 0.0, 0.0], 0.0)
    )
    return at.history


def _pieces(width: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network that has taken one step, so that its optimizer has a state."""
    model = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(5, 4)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    inner = [value for state in optimizer.state.values() for value in state.values()]
    return [tensor.clone() for tensor in (*model.state_dict().values(), *inner)]


def _same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def _draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, list[torch.Tensor]]:
    """A checkpoint of trial "one", and what it holds."""
    model, optimizer = _pieces()
    _save(tmp_path / "c", "one", model, optimizer, HISTORY)
    return tmp_path / "c", _state(model, optimizer)


def test_everything_comes_back(saved: tuple[Path, list[torch.Tensor]]) -> None:
    model, optimizer = _pieces()
    assert _restore(saved[0], "one", model, optimizer) == HISTORY
    assert _same(_state(model, optimizer), saved[1])
    assert [path.name for path in saved[0].iterdir()] == ["last.pt"]


def test_all_random_states_come_back(tmp_path: Path) -> None:
    model, optimizer = _pieces()
    np.random.standard_normal()  # leaves a second normal number behind, which is part of numpy's state
    _save(tmp_path, "one", model, optimizer, HISTORY)
    expected = (_draws(), np.random.standard_normal())
    for generator in (torch.manual_seed, np.random.seed, random.seed):
        generator(99)
    _restore(tmp_path, "one", model, optimizer)
    assert (_draws(), np.random.standard_normal()) == expected


class _Bomb:
    """A pickle that runs code when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def _spoil(path: Path, how: str) -> None:
    whole = path.read_bytes()
    contents = {"empty": b"", "torn": whole[: len(whole) // 2], "foreign": b"not a checkpoint"}
    path.unlink()
    if how in contents:
        path.write_bytes(contents[how])
    if how == "code":
        torch.save(_Bomb(path.parent / "exploded"), path)


@pytest.mark.parametrize("how", ["missing", "empty", "torn", "foreign", "code"])
def test_a_file_that_cannot_be_read_changes_nothing(saved: tuple[Path, list[torch.Tensor]], how: str) -> None:
    _spoil(saved[0] / "last.pt", how)
    _assert_starts_anew(saved[0], "one", *_pieces())
    assert not (saved[0] / "exploded").exists()


def test_a_flipped_byte_of_a_tensor_is_noticed(saved: tuple[Path, list[torch.Tensor]]) -> None:
    path = saved[0] / "last.pt"
    whole = bytearray(path.read_bytes())
    weight = saved[1][0].numpy().tobytes()
    whole[bytes(whole).index(weight)] ^= 1
    path.write_bytes(bytes(whole))
    _assert_starts_anew(saved[0], "one", *_pieces())


def test_a_checkpoint_of_another_trial_or_network_changes_nothing(
    saved: tuple[Path, list[torch.Tensor]],
) -> None:
    _assert_starts_anew(saved[0], "two", *_pieces())
    _assert_starts_anew(saved[0], "one", *_pieces(width=5))


def test_another_programs_file_changes_nothing(tmp_path: Path) -> None:
    for content in ([1, 2], {"model": {}}, torch.zeros(3)):
        torch.save(content, tmp_path / "last.pt")
        _assert_starts_anew(tmp_path, "one", *_pieces())


def _assert_starts_anew(folder: Path, trial: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    before, random_state = _state(model, optimizer), torch.get_rng_state()
    assert _restore(folder, trial, model, optimizer) == []
    assert _same(_state(model, optimizer), before)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    saved: tuple[Path, list[torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(state: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_module.torch, "save", half)
    with pytest.raises(StorageError, match="the disk is full"):
        _save(saved[0], "one", *_pieces(), [*HISTORY, *HISTORY])
    assert [path.name for path in saved[0].iterdir()] == ["last.pt"]
    model, optimizer = _pieces()
    assert _restore(saved[0], "one", model, optimizer) == HISTORY
    assert _same(_state(model, optimizer), saved[1])
