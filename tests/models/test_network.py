"""The contract of a network: places, their order, groups of snippets, modules inside by name."""

from __future__ import annotations

import pytest
import torch
from small import clips, relative, small_model
from torch import Tensor, nn

from harness.base.errors import UserError
from harness.models import Declared, PlaceName, create_model, list_inside, resolve
from harness.models.across import AcrossSnippets
from harness.models.network import Place, filled_places


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class AddSnippetNumber(nn.Module):
    """x + u, u = 0, 1, ... along the snippets."""

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        u = torch.arange(x_NUCTHW.shape[1], dtype=x_NUCTHW.dtype)
        return x_NUCTHW + u[None, :, None, None, None, None]


@pytest.mark.parametrize("across_first", [True, False])
def test_a_module_across_stands_before_those_inside_whatever_came_first(across_first: bool) -> None:
    place = Place(2)
    place.U = 2
    assert torch.equal(place(torch.ones(2, 2, 1, 1, 1)), torch.ones(2, 2, 1, 1, 1))
    across = AcrossSnippets(AddSnippetNumber(), 2, 2)
    if across_first:
        place.put_across(across)
    place.put_inside(Doubling())
    if not across_first:
        place.put_across(across)
    assert place.looks_across
    assert place(torch.ones(2, 2, 1, 1, 1))[:, 0].flatten().tolist() == [2, 4]  # (x + u)·2, not 2x + u


def test_inside_modules_keep_the_order_in_which_they_were_put() -> None:
    place = Place(1)
    for module in (nn.ReLU(), Doubling(), nn.Hardsigmoid()):
        place.put_inside(module)
    assert [type(m) for m in place.children()] == [nn.ReLU, Doubling, nn.Hardsigmoid]
    assert not place.looks_across


def test_places_come_in_the_order_in_which_a_snippet_passes_them() -> None:
    model = small_model("i3d_r50")
    passed: list[PlaceName] = []
    for name, place in model.backbone.places().items():
        place.register_forward_hook(lambda *_, name=name: passed.append(name))
    model(clips(1))
    assert passed == list(model.backbone.places())
    assert passed[:5] == [PlaceName("res2", 1, p) for p in ("I", "II", "III", "IV", "after")]


def test_the_shift_by_name_is_tsm() -> None:
    tsm, tsn = small_model("tsm_r50").eval(), small_model("tsn_r50", inside=["shift"]).eval()
    tsn.load_state_dict(tsm.state_dict())
    assert len(list(filled_places(tsn.backbone))) == 16
    with torch.inference_mode():
        assert torch.equal(tsn(clips()), tsm(clips()))
        plain = small_model("tsn_r50").eval()
        plain.load_state_dict(tsm.state_dict())
        assert relative(plain(clips()), tsm(clips())) > 1e-3


def test_inside_modules_stand_where_they_are_declared() -> None:
    declared = Declared("shift", position="II", stages="res3", blocks=[2], options={"share": 4})
    model = small_model("tsn_r18", "dsa", inside=[declared], stages=["res3"], beta=1.0)
    ((name, place),) = filled_places(model.backbone)
    assert name == PlaceName("res3", 2, "II")
    assert [type(m).__name__ for m in place.children()] == ["AcrossSnippets", "TemporalShift"]


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("shft", "unknown inside module 'shft'.*did you mean 'shift'"),
        (Declared("shift", position="IV"), "position 'IV'.*one of I, II, III, after"),
        (Declared("shift", options={"shares": 4}), "no option 'shares'.*did you mean 'share'"),
        (Declared("shift", stages="res3", blocks=[3]), "no block 3 in res3"),
    ],
)
def test_an_impossible_inside_module_is_refused(inside: str | Declared, message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model("tsn_r18", width=8, inside=[inside])


@pytest.mark.parametrize("name", list_inside())
def test_every_inside_module_keeps_snippets_apart_and_is_trained(name: str) -> None:
    options = {"groups": 2} if name == "cgnl" else {}  # its 8 do not divide so few channels
    model = small_model("tsn_r18", inside=[Declared(name, stages=("res2", "res3"), options=options)], T=4)
    x = clips().requires_grad_()
    model.forward_snippets(x)[0, 0].sum().backward()
    placed = [place for _, place in filled_places(model.backbone)]
    assert placed and not any(place.looks_across for place in placed)
    assert all(p.grad is not None for place in placed for p in place.parameters())
    evaluated = model.eval()
    with torch.inference_mode():
        both, first = evaluated.forward_snippets(clips()), evaluated.forward_snippets(clips()[:, :1])
    assert relative(both[:, :1], first) < 1e-5


def test_equal_networks_resolve_to_equal_data() -> None:
    spelled = Declared("dsa", "II", ["res4", "res3"], {"res3": [2], "res4": [2]}, 0.125, {"alpha": 2})
    given = resolve("i3d_r18", {"width": 8, "dropout": "1/2"}, aggregation=spelled, U=4, T=4)
    assert given == resolve("i3d_r18", {"width": 8}, aggregation=Declared("dsa"), U=4, T=4)


def test_a_network_without_module_across_shares_all_steps_and_refuses_nothing() -> None:
    model = small_model("tsn_r18").eval()
    with torch.inference_mode():
        assert model.forward_groups(clips(U=5), [[0, 1, 2], [4]]).shape == (2, 2, 5)


def test_a_group_of_another_size_than_built_for_is_refused() -> None:
    model = small_model("i3d_r18", "dsa").eval()
    with pytest.raises(ValueError, match="built for U=2 snippets a video and got U=3"):
        model.forward_groups(clips(U=4), [[0, 1, 2]])
