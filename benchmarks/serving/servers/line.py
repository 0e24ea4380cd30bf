"""The model that every contestant serves: `y = 0.7 x + 0.3` by `torch.nn.Linear(1, 1)`."""

import torch
from torch import nn


class Line:
    """Called with a number, answers a number; one thread, and no gradients."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.module = nn.Linear(1, 1).eval()
        with torch.no_grad():
            self.module.weight.fill_(0.7)
            self.module.bias.fill_(0.3)

    @torch.inference_mode()
    def __call__(self, x: float) -> float:
        return self.module(torch.tensor([[float(x)]])).item()
