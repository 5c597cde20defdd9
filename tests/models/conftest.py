"""One thread: the networks here are tiny, and the tests run in as many processes as there are cores."""

import torch

torch.set_num_threads(1)
