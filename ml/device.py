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
    here = {
        "cuda": bool(torch.cuda.is_available()),
        "mps": bool(torch.backends.mps.is_available()),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_here in here.items() if is_here))
    kind = name.partition(":")[0]
    if kind not in here:
        raise DeviceUnavailableError(f"no device is called {name!r}: choose auto, cuda, mps or cpu")
    if not here[kind]:
        raise DeviceUnavailableError(f"{kind} was asked for, but this machine has none; use auto")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailableError(f"{name!r} is no device: try {kind} or {kind}:0") from error
    if kind == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceUnavailableError(f"{name} was asked for, but this machine has {count} of them")
    return device


def limit_threads(count: int) -> None:
    """Let torch use ``count`` threads on the CPU within one operation."""
    torch.set_num_threads(count)
