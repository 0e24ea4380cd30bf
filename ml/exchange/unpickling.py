"""The process that reads a file of unknown origin: `.pth`, `.pt` or `.safetensors`.

The file is its standard input. One line of JSON goes out, ``{"order", "described", "notes"}`` with
a safetensors file behind it, or ``{"error"}`` alone. It is confined before it reads the first byte.
"""

from __future__ import annotations

import io
import json
import re
import sys
import warnings
from typing import Any

import torch
from safetensors.torch import save as safetensors_save

from ml.artifact import check_dense, safetensors_bytes, state_dict_bytes
from ml.errors import CorruptArtifactError, ExchangeError
from ml.exchange.confinement import confine
from ml.exchange.onefile import unpack
from ml.models.architecture import StateDict

NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the state_dict in a checkpoint, beside optimizer and epoch."""


def main(memory_bytes: int, cpu_seconds: int) -> None:
    """Answer for the file on standard input."""
    # Each thread would take address space, and could not be started later.
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    _practise()
    confine(memory_bytes, cpu_seconds)
    try:
        line, content = answer(sys.stdin.buffer.read())
    except ExchangeError as error:
        line, content = {"error": str(error)}, b""
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        line, content = {"error": "it takes more memory than is allowed"}, b""
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n" + content)
    sys.stdout.buffer.flush()


def answer(content: bytes) -> tuple[dict[str, Any], bytes]:
    """What the file holds: the line about it, and its tensors as a safetensors file.

    Raises:
        ExchangeError: it holds no state_dict, or more than that.
    """
    file = unpack(content) if is_safetensors(content) else None
    loaded: object = file.state if file is not None else _load(content)
    state, notes = {}, []
    for key, values in _state_dict_in(loaded).items():
        state[key] = _plain(key, values)
        if values.dtype != state[key].dtype:
            notes.append(f"{key} was {_name(values.dtype)} and is float32 now")
    described = None if file is None else file.described
    line = {"order": list(state), "described": described, "notes": notes}
    return line, safetensors_save(state)


def is_safetensors(content: bytes) -> bool:
    """Whether it begins as safetensors does: the length of a header that fits, and a brace."""
    length = int.from_bytes(content[:8], "little")
    return content[8:9] == b"{" and length <= len(content) - 8


def _practise() -> None:
    """Do all of it once with harmless files: modules that torch imports on the way cannot be
    opened later."""
    state = {"weight": torch.ones(2, dtype=torch.float64)}
    legacy = io.BytesIO()
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    wrong = [b"", b"PK", b"\x80\x02cposix\nsystem\n.", legacy.getvalue()[:-9]]
    for content in (state_dict_bytes(state), legacy.getvalue(), safetensors_bytes(state), *wrong):
        try:
            answer(content)
        except ExchangeError as error:
            json.dumps(str(error))


def _load(content: bytes) -> object:
    try:
        return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:
        if _is_out_of_memory(error):
            raise
        # The unpickler raises half a dozen unrelated classes.
        raise ExchangeError(_reason(str(error))) from error


def _reason(message: str) -> str:
    """Why `torch.load` refused it, in a sentence."""
    remedy = "save the tensors alone: torch.save(model.state_dict(), path)"
    if found := re.search(r"GLOBAL ([\w.]{1,100})", message):
        return f"it asks for {found[1]}, and nothing in a file is ever run; {remedy}"
    if "TorchScript" in message:
        return f"it is a TorchScript program; {remedy}"
    if "weights_only" in message or "Weights only" in message:
        return f"it is damaged, or holds more than tensors; {remedy}"
    return "it is no file that torch.save or safetensors wrote, or only a part of one"


def _state_dict_in(loaded: object) -> StateDict:
    if isinstance(loaded, dict):
        inner = [loaded[name] for name in NESTED if isinstance(loaded.get(name), dict)]
        for found in (loaded, *inner[:1]):
            tensors = {k: v for k, v in found.items() if isinstance(v, torch.Tensor)}
            if len(tensors) == len(found) > 0 and all(isinstance(key, str) for key in tensors):
                return tensors
    kind = "an empty dict" if loaded == {} else type(loaded).__name__
    raise ExchangeError(f"expected a state_dict, a dict of tensors by name, got {kind}")


def _plain(key: str, values: torch.Tensor) -> torch.Tensor:
    """A tensor with memory of its own, float32 or whole numbers."""
    shown = key[:100]
    try:
        check_dense(shown, values)
    except CorruptArtifactError as error:
        raise ExchangeError(str(error)) from error
    if values.is_complex() or values.is_quantized or values.dtype == torch.bool:
        raise ExchangeError(f"{shown}: expected real numbers, got {_name(values.dtype)}")
    dtype = torch.float32 if values.is_floating_point() else values.dtype
    plain = values.detach().to(dtype, copy=True).contiguous()
    if not bool(plain.isfinite().all()):
        raise ExchangeError(f"{shown}: holds a number that is not finite in float32")
    return plain


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a bare RuntimeError with these words (c10/core/impl/alloc_cpu.cpp).
    words = ("can't allocate memory", "not enough memory", "bad_alloc")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
