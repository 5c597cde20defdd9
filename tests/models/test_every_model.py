"""Every registered model passes every test here: with the average, and every host with DSA.

The product of models and aggregations stands behind the marker `full` (pytest -m full tests/models).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small import LARGEST, SIDE, T, U, clips, is_host, relative, small_model
from torch import Tensor, nn

from harness.models import list_aggregations, list_models
from harness.models.across import AcrossSnippets
from harness.models.cost import model_cost

EVERY_SECOND = {"dsa": 5, "se": 5, "v4d": 2}, {"dsa": 2, "se": 2, "v4d": 2}  # in a ResNet-50, in a ResNet-18
EXCLUDED: dict[str, dict[str, str]] = {}  # test -> model -> why it does not apply


def _pairs(in_ci: tuple[str, ...]) -> list[Any]:
    """(model, aggregation) of every model; those outside CI carry the marker."""
    pairs = [(m, a) for m in list_models() for a in list_aggregations() if a == "average" or is_host(m)]
    return [pytest.param(m, a, marks=[] if a in in_ci else [pytest.mark.full]) for m, a in pairs]


def every_model(
    test: Callable[..., None], in_ci: tuple[str, ...] = ("average", "dsa")
) -> Callable[..., None]:
    """Parametrize by (name, aggregation), without the test's exclusions."""
    without = EXCLUDED.get(test.__name__, {})
    pairs = [pair for pair in _pairs(in_ci) if pair.values[0] not in without]
    return pytest.mark.parametrize(("name", "aggregation"), pairs)(test)


def test_exclusions_name_what_there_is_and_say_why() -> None:
    for test, models in EXCLUDED.items():
        assert test in globals() and set(models) <= set(list_models()) and all(models.values())


@every_model
def test_training_step_reaches_every_parameter(name: str, aggregation: str) -> None:
    """A hidden ReLU may be dead at one start; a norm that starts at zero hides its branch until the second step."""
    unreached: set[str] | None = None
    for seed in range(5):
        model = small_model(name, aggregation, seed=seed)
        for _ in range(3):
            grads = _gradients(model)
            assert len(grads) == sum(1 for _ in model.parameters())
            assert all(grad.isfinite().all() for grad in grads.values())
            zero = {n for n, grad in grads.items() if grad.abs().max() == 0}
            unreached = zero if unreached is None else unreached & zero
            if not unreached:
                return
            with torch.no_grad():
                for n, p in model.named_parameters():
                    p -= 0.1 * grads[n]
    raise AssertionError(f"no gradient ever reached {sorted(unreached or ())}")


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    model.zero_grad()
    logits = model(clips())
    assert logits.shape == (2, 5)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@every_model
def test_same_seed_same_numbers(name: str, aggregation: str) -> None:
    def one_step() -> list[Tensor]:
        model = small_model(name, aggregation)
        torch.manual_seed(2)
        loss = model(clips()).square().sum()
        loss.backward()
        return [loss.detach(), *(p.grad for p in model.parameters()), *model.buffers()]

    for first, second in zip(one_step(), one_step(), strict=True):
        assert torch.equal(first, second)


@every_model
@pytest.mark.parametrize(("frames", "height", "width"), [(1, 37, 43), (5, 33, 48)])
def test_odd_sizes(name: str, aggregation: str, frames: int, height: int, width: int) -> None:
    model = small_model(name, aggregation, T=frames).eval()
    logits = model(clips(1, U, frames, height, width))
    assert logits.shape == (1, 5) and logits.isfinite().all()


@every_model
def test_another_number_of_snippets(name: str, aggregation: str) -> None:
    built_for_two, three = small_model(name, aggregation).eval(), clips(U=3)
    if built_for_two.any_U:
        assert built_for_two.forward_snippets(three).shape == (2, 3, 5)
    else:
        assert small_model(name, aggregation, U=3)(three).shape == (2, 5)
        with pytest.raises(ValueError, match=r"U=2 .*U=3"):
            built_for_two(three)


@every_model
def test_videos_of_a_batch_do_not_see_each_other(name: str, aggregation: str) -> None:
    model = small_model(name, aggregation).eval()
    x = clips(N=3)
    logits, order = model(x).detach(), [2, 0, 1]
    with torch.inference_mode():
        torch.testing.assert_close(model(x[order]), logits[order], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(model(x[1:2]), logits[1:2], rtol=1e-4, atol=1e-6)
    leaf = x.requires_grad_()
    model(leaf)[0].sum().backward()
    assert leaf.grad is not None and leaf.grad[0].abs().max() > 0
    assert leaf.grad[1:].abs().max() == 0


@every_model
def test_state_dict_and_pickle_round_trips(name: str, aggregation: str) -> None:
    model, other = small_model(name, aggregation).eval(), small_model(name, aggregation, seed=1).eval()
    with torch.inference_mode():
        expected = model(clips(1))
        assert not torch.equal(other(clips(1)), expected)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(clips(1)), expected)
        assert torch.equal(pickle.loads(pickle.dumps(model))(clips(1)), expected)


@every_model
def test_bfloat16_stays_near_float32(name: str, aggregation: str) -> None:
    model = small_model(name, aggregation).eval()
    with torch.inference_mode():
        expected = model(clips())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert relative(model(clips()), expected) < 0.05
        halved = model.to(torch.bfloat16)(clips().to(torch.bfloat16))
    assert halved.dtype == torch.bfloat16
    assert relative(halved, expected) < 0.05


@every_model
def test_memory_layouts_agree(name: str, aggregation: str) -> None:
    model = small_model(name, aggregation).double()  # batch norms over few values amplify float32's rounding
    channels_last = small_model(name, aggregation).double().to(memory_format=torch.channels_last_3d)
    torch.manual_seed(2)
    expected = model(clips().double()).detach()
    torch.manual_seed(2)
    assert relative(channels_last(clips().double()), expected) < 1e-9


@every_model
def test_size_and_cost_counters_agree(name: str, aggregation: str) -> None:
    model = small_model(name, aggregation)
    cost = model_cost(model, T=T, U=U, crop_px=SIDE)
    assert cost.params == sum(p.numel() for p in model.parameters()) < LARGEST
    assert cost.macs_conv_matmul == pytest.approx(cost.macs_cross_check, rel=0.001)
    assert cost.macs > cost.macs_conv_matmul > 0


@every_model
def test_modules_stand_at_their_registered_places_in_an_equal_backbone(name: str, aggregation: str) -> None:
    model = small_model(name, aggregation)
    ours, plain = model.state_dict(), small_model(name).state_dict()
    assert all(torch.equal(ours[key], plain[key]) for key in plain)  # one seed, one backbone
    count = sum(isinstance(module, AcrossSnippets) for module in model.modules())
    assert (count > 0) == (aggregation != "average")
    if name in ("i3d_r50", "tsn_r50", "tsm_r50", "i3d_r18", "tsn_r18", "tsm_r18"):
        assert count == EVERY_SECOND[name.endswith("r18")].get(aggregation, 0)


def _with_groups(test: Callable[..., None]) -> Callable[..., None]:
    return every_model(test, in_ci=("average", "dsa", "v4d"))


@_with_groups
def test_groups_are_scored_as_if_each_came_alone(name: str, aggregation: str) -> None:
    model, x = small_model(name, aggregation).eval(), clips(U=3)
    groups = [[0, 1], [1, 2], [0, 2]]
    calls: dict[nn.Module, int] = {}
    for module in model.modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d):
            module.register_forward_hook(lambda m, *_: calls.update({m: calls.get(m, 0) + 1}))
    with torch.inference_mode():
        ours = model.forward_groups(x, groups)
        once = {m for m, count in calls.items() if count == 1}
        assert set(calls.values()) <= {1, 3}
        alone = torch.stack([model(x[:, group]) for group in groups], 1)
    assert relative(ours, alone) <= 1e-5
    _assert_only_what_may_be_shared_ran_once(model, once, aggregation)


def _assert_only_what_may_be_shared_ran_once(model: Any, once: set[nn.Module], aggregation: str) -> None:
    convolutions = {m for m in model.modules() if isinstance(m, nn.Conv3d | nn.Conv2d)}
    steps = list(model.backbone.steps())
    looking = [place for place, step in enumerate(steps) if _looks_across(step)]
    if aggregation == "average":
        assert not looking and once == convolutions
        return
    before, after = (_convolutions_of(part) for part in (steps[: looking[0]], steps[looking[0] :]))
    assert (
        after and before <= once and not once & after
    )  # a head's own run once or a group at a time, as it asks


def _convolutions_of(steps: list[Any]) -> set[nn.Module]:
    modules = {m for step in steps if isinstance(step, nn.Module) for m in step.modules()}
    return {m for m in modules if isinstance(m, nn.Conv3d | nn.Conv2d)}


def _looks_across(step: Any) -> bool:
    return isinstance(step, nn.Module) and any(isinstance(m, AcrossSnippets) for m in step.modules())
