"""The contract of a module by itself: one function a point, each returning what it saw or raising `Broken`."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import torch
from torch import Tensor, nn

from harness.base.text import first_line
from harness.variants.subject import Broken, Subject, U, clip, far

SHAPES = ((1, 8, 4, 6, 6), (2, 5, 1, 7, 3), (3, 1, 2, 1, 1), (2, 16, 4, 3, 5))  # N, C, T, H, W
SNIPPETS = (2, 3, 4, 8)
STARTS = 5  # a hidden ReLU may be dead at one start, not at all of them


def options(subject: Subject) -> str:
    """Options have defaults that can be written down in an experiment and hashed."""
    parameters = inspect.signature(subject.entry.cls.__init__).parameters
    sizes = ("channels",) if subject.kind == "inside" else ("channels", "U")
    missing = [name for name in sizes if name not in parameters]
    if missing:
        raise Broken(
            f"__init__ has no parameter {' and none '.join(missing)}",
            f"write `def __init__(self, {', '.join(f'{n}: int' for n in sizes)}, *, my_option: int = 3)`",
        )
    own = {**{n: p.default for n, p in parameters.items() if n not in ("self", "channels", "U", "T")}}
    chosen = {name: subject.options.get(name, default) for name, default in own.items()}
    for name, value in chosen.items():
        if not isinstance(value, int | float | str | bool | tuple):
            seen = "no default" if value is inspect.Parameter.empty else f"the default {value!r}"
            raise Broken(f"the option {name!r} has {seen}", "give it a number, a word, True or False")
    return ", ".join(f"{name}={value}" for name, value in chosen.items()) or "none"


def shapes(subject: Subject) -> str:
    """Same shape out, whatever the sizes and the memory layout."""
    for N, C, T, H, W in SHAPES:
        module = subject.module(channels=C, frames=T)
        _same_shape(module, clip(N, U, C, T, H=H, W=W))
    N, C, T, H, W = SHAPES[0]
    rows = clip(N, U, C, T, H=H, W=W).flatten(0, 1).contiguous(memory_format=torch.channels_last_3d)
    _same_shape(subject.module(channels=C, frames=T), rows.unflatten(0, (N, U)))
    return f"kept, {len(SHAPES)} sizes (C from 1 to 16, odd H and W, one frame) and channels-last"


def _same_shape(module: nn.Module, x_NUCTHW: Tensor) -> None:
    y_NUCTHW = module(x_NUCTHW.clone())
    if not isinstance(y_NUCTHW, Tensor):
        raise Broken(f"forward returned {type(y_NUCTHW).__name__}", "return one tensor, the mixed maps")
    if y_NUCTHW.shape != x_NUCTHW.shape:
        raise Broken(
            f"(N, U, C, T, H, W) = {tuple(x_NUCTHW.shape)} became {tuple(y_NUCTHW.shape)}",
            "forward must keep the shape: check padding, transposes and the sizes given to view/unflatten",
        )


def snippets(subject: Subject) -> str:
    """It can be built for several U; with `any_U` one module accepts them all."""
    for count in SNIPPETS:
        try:
            _same_shape(subject.module(snippets=count), clip(U=count))
        except Exception as error:
            raise Broken(
                f"built for U={count} it does not run on U={count} snippets: {first_line(error, limit=200)}",
                "use the U of the constructor, or x_NUCTHW.shape[1], in place of a number",
            ) from error
    accepted = [count for count in SNIPPETS if _runs(subject.module(), clip(U=count))]
    refused = [count for count in SNIPPETS if count not in accepted]
    if subject.entry.any_U and refused:
        raise Broken(
            f"any_U is True, but built for U={U} it fails on U={', '.join(map(str, refused))}",
            "set any_U = False, or stop using the constructor's U in forward",
        )
    if subject.entry.any_U:
        return f"any U: built for {U}, runs on {', '.join(map(str, accepted))}"
    return f"the U that it was built for (tried {', '.join(map(str, SNIPPETS))}); any_U is not set"


def _runs(module: nn.Module, x_NUCTHW: Tensor) -> bool:
    try:
        return bool(module(x_NUCTHW).shape == x_NUCTHW.shape)
    except Exception:  # whatever it raises, it does not accept this U
        return False


def gradients(subject: Subject) -> str:
    """Finite gradients reach the input and every parameter."""
    unreached = {"the input", *dict(subject.module().named_parameters())}
    for seed in range(STARTS):
        unreached &= _without_gradient(subject.module(seed=seed), seed)
    if unreached:
        raise Broken(
            f"no gradient reaches {', '.join(sorted(unreached))}",
            "use every parameter in forward; look for .detach(), .data, torch.no_grad() or a factor that is 0",
        )
    parameters = list(subject.module().parameters())
    return f"reach the input and all {len(parameters)} parameters ({sum(p.numel() for p in parameters):,} numbers)"


def _without_gradient(module: nn.Module, seed: int) -> set[str]:
    x_NUCTHW = clip(seed=seed).requires_grad_()
    y_NUCTHW = module(x_NUCTHW * 1)  # not the leaf itself: a module may work in place
    if not y_NUCTHW.requires_grad:
        return {"the input", *dict(module.named_parameters())}
    (y_NUCTHW * clip(seed=seed + 50)).sum().backward()  # a plain sum would hide what a softmax normalises
    grads = {"the input": x_NUCTHW.grad, **{n: p.grad for n, p in module.named_parameters()}}
    bad = [name for name, grad in grads.items() if grad is not None and not grad.isfinite().all()]
    if bad:
        raise Broken(f"the gradient of {bad[0]} is not finite", "look for sqrt, log or a division near 0")
    return {name for name, grad in grads.items() if grad is None or not grad.any()}


@torch.no_grad()
def one_video_at_a_time(subject: Subject) -> str:
    """In eval mode the answer for a video does not depend on which videos are beside it."""
    module, x_NUCTHW = subject.evaluated(), clip(N=3)
    together = module(x_NUCTHW.clone())
    others = x_NUCTHW.clone()
    others[1:] = 10 * clip(N=2, seed=1)
    if far(module(others)[0], together[0]):
        raise Broken(
            "the answer for one video changes when the other videos of the batch do",
            "mix along dimension 1 (snippets) only, never along dimension 0 (videos); check reshapes of N and U",
        )
    for i in range(3):
        if far(module(x_NUCTHW[i : i + 1].clone())[0], together[i]):
            raise Broken(
                "a video alone gets another answer than in a batch",
                "do not use the batch size or statistics of the batch in eval mode",
            )
    return "in eval mode each video is answered alone"


@torch.no_grad()
def evaluation(subject: Subject) -> str:
    """Eval mode is deterministic and changes nothing: no state, no input."""
    module, x_NUCTHW = subject.evaluated(), clip()
    before, given = copy.deepcopy(module.state_dict()), x_NUCTHW.clone()
    first, second = module(x_NUCTHW), module(given.clone())
    if not torch.equal(x_NUCTHW, given):
        raise Broken(
            "forward changes its input in place",
            "the block still needs it: use out-of-place operations (y = x + …, no x += …, no inplace=True on x)",
        )
    if not torch.equal(first, second):
        raise Broken(
            "two passes over the same input differ in eval mode",
            "draw random numbers only `if self.training` (nn.Dropout does)",
        )
    changed = [name for name, value in module.state_dict().items() if not torch.equal(value, before[name])]
    if changed:
        raise Broken(f"a pass in eval mode changes {changed[0]}", "update state only `if self.training`")
    return "deterministic, leaves its input and its state alone"


@torch.no_grad()
def reach(subject: Subject) -> str:
    """Which snippets see which: stated, not judged."""
    module, x_NUCTHW = subject.evaluated(), clip(N=1)
    base = module(x_NUCTHW.clone())
    seen = torch.zeros(U, U, dtype=torch.bool)
    for u in range(U):
        moved = x_NUCTHW.clone()
        moved[:, u] += clip(N=1, U=1, seed=9)[:, 0]
        changes = (module(moved) - base).abs().amax((0, 2, 3, 4, 5)) > 1e-6
        seen[:, u] = changes
    others = seen & ~torch.eye(U, dtype=torch.bool)
    if others.any() and subject.kind == "inside":
        raise Broken(
            "a snippet sees another", "a module inside the snippet has (N·U, C, T, H, W): never mix along it"
        )
    if not others.any():
        return "no snippet sees another: a module inside the snippet"
    farthest = max(abs(i - j) for i, j in others.nonzero().tolist())
    whole = "all others" if others.sum() == U * (U - 1) else f"up to {farthest} snippets away"
    return f"each snippet sees {whole}; no other video"


def unusual_values(subject: Subject) -> str:
    """Constant maps, large values and bfloat16 stay finite, forward and backward."""
    for text, x_NUCTHW in (("zeros", clip() * 0), ("constant", clip() * 0 + 5), ("large", clip() * 1000)):
        _finite(subject.module(), x_NUCTHW, f"{text} maps")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _finite(subject.module(), clip().bfloat16(), "bfloat16 maps (mixed precision)")
    return "constant, large and bfloat16 maps stay finite"


def _finite(module: nn.Module, x_NUCTHW: Tensor, what: str) -> None:
    x_NUCTHW = x_NUCTHW.requires_grad_()
    y_NUCTHW = module(x_NUCTHW * 1)
    y_NUCTHW.float().square().mean().backward()
    grads = [p.grad for p in (x_NUCTHW, *module.parameters()) if p.grad is not None]
    if not all(t.isfinite().all() for t in (y_NUCTHW, *grads)):
        raise Broken(
            f"{what} give values or gradients that are not finite",
            "add an epsilon to divisions, square roots and logarithms",
        )


@torch.no_grad()
def checkpoints(subject: Subject) -> str:
    """What it has learned travels in its state dict; the module can be copied and pickled."""
    trained, fresh = subject.evaluated(), subject.module(seed=1).eval()
    buffer = io.BytesIO()
    torch.save(trained.state_dict(), buffer)
    fresh.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    expected = trained(clip())
    if far(fresh(clip()), expected):
        raise Broken(
            "a module with the same state dict gives other answers",
            "keep tensors as nn.Parameter or register_buffer, so that a checkpoint holds them",
        )
    for copied in (copy.deepcopy(trained), pickle.loads(pickle.dumps(trained))):
        if far(copied(clip()), expected):
            raise Broken("a copy gives other answers", "keep no reference to other modules or to globals")
    return "state dict, copy and pickle give the same answers"
