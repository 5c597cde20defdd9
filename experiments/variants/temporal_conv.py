"""TEMPLATE of a variant: a plain temporal convolution across snippets. Copy this file, rename, change `forward`.

    harness check-variant my_module.py                      # does it keep the contract? (seconds)
    make compare VARIANT=my_module.py BASELINE=dsa          # train what is missing, compare, render

A variant is one class under one decorator, in one file. Nothing of the package is edited. The file's text is part
of every trial's identity: change a line of it, and its trials run again; its name and its place don't matter.

What you are given: `x_NUCTHW`, the feature maps of N videos with U snippets each (channels C, frames T, height H,
width W), inside a block of the backbone. What you give back: the same shape. You may mix the snippets of one
video as you like; videos of a batch must never see each other (BatchNorm in training is the one exception).
"""

from __future__ import annotations

from torch import Tensor, nn

from harness.models import register_aggregation


# The name is how rows, tables and comparisons call it. The rest is where it stands if nobody says otherwise
# (position in the block, stages of the network, share beta of the channels that pass through it); `compare`
# puts it in the baseline's place instead.
@register_aggregation("temporal_conv", position="II", stages=("res3", "res4"))
class TemporalConv(nn.Module):
    """y = x + conv(x), a convolution of `kernel` taps along the snippets, the same at every t, h and w."""

    # True: built for one U, it also runs with others at test time. Leave it out (False) if U is built in,
    # as in DSA, whose linear layers have U inputs.
    any_U = True

    # `channels` and `U` always come; add a parameter `T` if you need the number of frames. Everything else is an
    # option of yours: give it a default, and set it by `--option kernel=5` (`--option kernel=3,5`: one row each).
    def __init__(self, channels: int, U: int, *, kernel: int = 3) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel {kernel}: an odd number, so that as many snippets lie before as behind")
        self.conv = nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0), bias=False)

    def forward(self, x_NUCTHW: Tensor) -> Tensor:
        """Same shape out."""
        x_NCUS = x_NUCTHW.transpose(1, 2).flatten(3)  # S = T·H·W: all positions are treated alike
        y_NUCS = self.conv(x_NCUS).transpose(1, 2)
        return x_NUCTHW + y_NUCS.unflatten(3, x_NUCTHW.shape[3:])
