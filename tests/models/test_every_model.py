"""Every registered model × every registered aggregation passes every test here."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from harness.models import VideoModel, create_model, list_aggregations, list_models
from harness.models.across import AcrossSnippets
from harness.models.cost import model_cost

GRID = [(model, aggregation) for model in list_models() for aggregation in list_aggregations()]
every_model = pytest.mark.parametrize(("name", "aggregation"), GRID)


def _model(name: str, aggregation: str, seed: int = 0, U: int = 4) -> VideoModel:
    torch.manual_seed(seed)
    return create_model(name, 5, U=U, aggregation=aggregation, width=8, stem_kernel=5, dropout=0.0)


def _clip(N: int = 2, U: int = 4, T: int = 2, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(N, U, 3, T, height, width, generator=torch.Generator().manual_seed(1))


def _relative(got: Tensor, expected: Tensor) -> float:
    difference = (got.double() - expected.double()).norm() / expected.double().norm()
    return float(difference.detach())


@every_model
def test_training_step_reaches_every_parameter(name: str, aggregation: str) -> None:
    unreached = {"any"}
    for seed in range(5):  # a hidden ReLU of SE's single unit may be dead at one start, not at all of them
        model = _model(name, aggregation, seed)
        logits = model(_clip())
        assert logits.shape == (2, 5)
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        assert len(grads) == sum(1 for _ in model.parameters())
        assert all(grad.isfinite().all() for grad in grads.values())
        zero = {n for n, grad in grads.items() if grad.abs().max() == 0}
        unreached = zero if seed == 0 else unreached & zero
        if not unreached:
            return
    raise AssertionError(f"no gradient ever reached {sorted(unreached)}")


@every_model
def test_same_seed_same_numbers(name: str, aggregation: str) -> None:
    def one_step() -> list[Tensor]:
        model = _model(name, aggregation)
        loss = model(_clip()).square().sum()
        loss.backward()
        return [loss.detach(), *(p.grad for p in model.parameters()), *model.buffers()]

    for first, second in zip(one_step(), one_step(), strict=True):
        assert torch.equal(first, second)


@every_model
@pytest.mark.parametrize(("T", "height", "width"), [(1, 37, 43), (3, 33, 20)])
def test_odd_sizes(name: str, aggregation: str, T: int, height: int, width: int) -> None:
    model = _model(name, aggregation).eval()
    logits = model(_clip(1, 4, T, height, width))
    assert logits.shape == (1, 5) and logits.isfinite().all()


@every_model
@pytest.mark.parametrize("U", [1, 3])
def test_another_number_of_snippets(name: str, aggregation: str, U: int) -> None:
    assert _model(name, aggregation, U=U)(_clip(U=U)).shape == (2, 5)
    built_for_four = _model(name, aggregation).eval()
    if built_for_four.any_U:
        assert built_for_four.forward_snippets(_clip(U=U)).shape == (2, U, 5)
    else:
        with pytest.raises(ValueError, match=f"U=4 .*U={U}"):
            built_for_four(_clip(U=U))


@every_model
def test_videos_of_a_batch_do_not_see_each_other(name: str, aggregation: str) -> None:
    model = _model(name, aggregation).eval()
    x = _clip(N=3)
    logits = model(x)
    order = [2, 0, 1]
    torch.testing.assert_close(model(x[order]), logits[order], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model(x[1:2]), logits[1:2], rtol=1e-4, atol=1e-6)
    leaf = x.requires_grad_()
    model(leaf)[0].sum().backward()
    assert leaf.grad is not None and leaf.grad[0].abs().max() > 0
    assert leaf.grad[1:].abs().max() == 0


@every_model
def test_state_dict_and_pickle_round_trips(name: str, aggregation: str) -> None:
    model, other = _model(name, aggregation).eval(), _model(name, aggregation, seed=1).eval()
    expected = model(_clip())
    assert not torch.equal(other(_clip()), expected)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(_clip()), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(_clip()), expected)


@every_model
def test_bfloat16_stays_near_float32(name: str, aggregation: str) -> None:
    model = _model(name, aggregation).eval()
    expected = model(_clip())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _relative(model(_clip()), expected) < 0.05
    halved = model.to(torch.bfloat16)(_clip().to(torch.bfloat16))
    assert halved.dtype == torch.bfloat16
    assert _relative(halved, expected) < 0.05


@every_model
def test_memory_layouts_agree(name: str, aggregation: str) -> None:
    model = _model(name, aggregation)
    expected = model(_clip())
    channels_last = _model(name, aggregation).to(memory_format=torch.channels_last_3d)
    assert _relative(channels_last(_clip()), expected) < 1e-3


@every_model
def test_cost_counters_agree(name: str, aggregation: str) -> None:
    model = _model(name, aggregation)
    cost = model_cost(model, T=2, U=4, crop_px=32)
    assert cost.params == sum(p.numel() for p in model.parameters())
    assert cost.macs_conv_matmul == pytest.approx(cost.macs_cross_check, rel=0.001)
    assert cost.macs > cost.macs_conv_matmul > 0


@every_model
def test_seed_gives_every_aggregation_the_same_backbone(name: str, aggregation: str) -> None:
    ours, plain = _model(name, aggregation).state_dict(), _model(name, "average").state_dict()
    assert all(torch.equal(ours[key], plain[key]) for key in plain)


@every_model
def test_modules_stand_at_their_registered_places(name: str, aggregation: str) -> None:
    model = _model(name, aggregation)
    count = sum(isinstance(module, AcrossSnippets) for module in model.modules())
    every_second = {"dsa": 5, "se": 5, "v4d": 2} if name.endswith("r50") else {"dsa": 2, "se": 2, "v4d": 2}
    if aggregation in ("average", *every_second):
        assert count == every_second.get(aggregation, 0)
    else:
        assert count > 0
