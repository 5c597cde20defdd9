"""A user's file: read as Python reads it, alone, and registered by kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.base.errors import UserError
from harness.models import create_model, list_models
from harness.models.registry import unregister
from harness.models.variant import load_variant, read_variant

SCALE = """
import torch
from torch import nn
from harness.models import register_aggregation

@register_aggregation("mine_across", stages=("res3",))
class Mine(nn.Module):
    def __init__(self, channels: int, U: int, *, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, x):
        return x * self.strength
"""
MODEL = """
from torch import nn
from harness.models import Backbone, Place, PlaceName, register_inside, register_model
from harness.models.layers import AverageHead


class Tiny(Backbone):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = width
        self.stem = nn.Conv3d(3, width, (1, 3, 3), stride=(1, 4, 4))
        self.place = Place(width)

    def steps(self):
        return [self.stem, self.place]

    def places(self):
        return {PlaceName("only", 1, "II"): self.place}


@register_model()
def mine_tiny(num_classes: int, *, width: int = 8):
    return Tiny(width), AverageHead(width, num_classes, 0.0)


@register_inside("mine_inside", position="II")
class Inside(nn.Identity):
    def __init__(self, channels: int) -> None:
        super().__init__()
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    for name in ("mine_across", "mine_tiny", "mine_inside"):
        unregister(name)


def _file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "mine.py"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_variant_may_register_a_model_with_places_and_a_module_for_it(tmp_path: Path) -> None:
    registered, text = load_variant(_file(tmp_path, MODEL))
    assert registered == [("model", "mine_tiny"), ("inside", "mine_inside")] and text == MODEL
    assert "mine_tiny" in list_models("mine*")
    model = create_model("mine_tiny", 3, aggregation="dsa", stages="only", blocks=[1], beta=1.0)
    assert model(torch.zeros(1, 4, 3, 2, 16, 16)).shape == (1, 3)


def test_options_of_a_variant_are_numbers_where_it_says_so(tmp_path: Path) -> None:
    load_variant(_file(tmp_path, SCALE))
    model = create_model("tsn_r18", 3, width=8, aggregation="mine_across", strength="1e-3")
    assert [m.strength for m in model.modules() if hasattr(m, "strength")] == [0.001]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + "note = 'é'\n".encode(),
        "# -*- coding: latin-1 -*-\nnote = 'é'\n".encode("latin-1"),
        "note = 'é'\n".encode(),
    ],
)
def test_a_file_is_decoded_as_python_decodes_it(tmp_path: Path, content: bytes) -> None:
    text = read_variant(_file(tmp_path, content))
    assert text.endswith("note = 'é'\n") and not text.startswith("\ufeff")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"note = '\xe9'\n", "cannot be read"),
        (b"# -*- coding: klingon -*-\n", "cannot be read"),
        ("import my_helper\n" + SCALE, "mine.py:1: imports 'my_helper': a variant stands alone"),
        ("from .beside import thing\n" + SCALE, "mine.py:1: imports '.beside'"),
        (SCALE + "\ndef later():\n    import pandas.core\n", "imports 'pandas.core'"),
        ("x = 1\n", "registers nothing"),
        ("x = (\n", "mine.py:1: the variant's file does not run: SyntaxError"),
        ("import torch\n\ntorch.nonsense()\n", "mine.py:3: the variant's file does not run: AttributeError"),
    ],
)
def test_a_bad_file_is_refused_in_one_message(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_variant(_file(tmp_path, content))
