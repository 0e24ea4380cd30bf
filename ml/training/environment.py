"""What the numbers of a training depend on beside its spec."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Environment:
    """Where a training ran, and by what."""

    torch: str
    numpy: str
    python: str
    device: str
    threads: int
    dtype: str
    """Of the parameters while they were trained."""
    streamed: bool
    """Whether the rows were read from disk block by block."""


def environment(device: torch.device, dtype: torch.dtype, streamed: bool) -> Environment:
    """That of a training in this process."""
    return Environment(
        torch=torch.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
        device=str(device),
        threads=torch.get_num_threads(),
        dtype=str(dtype).removeprefix("torch."),
        streamed=streamed,
    )
