"""Which device, which seeds, how many threads."""

from __future__ import annotations

from typing import Literal

import torch

from ml.errors import DeviceUnavailableError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes cuda, else mps, else the CPU.

    Raises:
        DeviceUnavailableError: the device was named and is not here.
    """
    available = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_here in available.items() if is_here()))
    kind = name.partition(":")[0]
    if kind not in available:
        raise DeviceUnavailableError(f"no device is called {name!r}: choose auto, cuda, mps or cpu")
    if not available[kind]():
        raise DeviceUnavailableError(f"{kind} was asked for, but this machine has none; use auto")
    return torch.device(name)


def limit_threads(count: int) -> None:
    """Let torch use ``count`` threads on the CPU within one operation."""
    torch.set_num_threads(count)
