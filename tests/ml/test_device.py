"""Which device."""

from __future__ import annotations

import pytest
import torch

from ml.device import limit_threads, pick_device
from ml.errors import DeviceUnavailableError


def _only(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Let the machine have ``cuda`` devices of CUDA, and MPS or not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted"),
    [(0, False, "cpu"), (1, False, "cuda"), (0, True, "mps"), (2, True, "cuda")],
)
def test_auto_takes_cuda_else_mps_else_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, wanted: str
) -> None:
    _only(monkeypatch, cuda=cuda, mps=mps)
    assert pick_device("auto") == pick_device() == torch.device(wanted)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_named_device_that_is_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _only(monkeypatch)
    with pytest.raises(DeviceUnavailableError, match="this machine has none; use auto"):
        pick_device(name)


def test_a_named_device_that_is_here_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert pick_device(name) == torch.device(name)


def test_a_number_beyond_the_devices_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, cuda=2)
    with pytest.raises(DeviceUnavailableError, match=r"cuda:2 was asked for, .* has 2 of them"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda2", "meta"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailableError, match="choose auto, cuda, mps or cpu"):
        pick_device(name)


@pytest.mark.parametrize("name", ["cpu:", "cpu:x", "cpu:-1"])
def test_a_number_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailableError, match="is no device: try cpu"):
        pick_device(name)


def test_limit_threads() -> None:
    before = torch.get_num_threads()
    try:
        limit_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        limit_threads(before)
