"""Weights of a version, as a file."""

from __future__ import annotations

import os
from pathlib import Path

from service.remote import calls
from service.remote.errors import NotReadyError
from service.remote.steps import Retries, Steps, exchange

_KINDS: dict[str, calls.StateDictKind] = {
    ".pth": "pth",
    ".pt": "pth",
    ".safetensors": "safetensors",
}


def state_dict(
    to: str | os.PathLike[str], model: str, version: int | None, retries: Retries
) -> Steps[Path]:
    """Write the state_dict to a file, whose ending says in which form; whole or not at all.

    Raises:
        ValueError: the ending says no form that there is.
        NotReadyError: the model has no active version, and none was named.
        OSError: the file cannot be written.
    """
    path = Path(to)
    if path.suffix not in _KINDS:
        raise ValueError(
            f"expected a file name that ends in {', '.join(_KINDS)}, got {path.name!r}"
        )
    if version is None:
        version = (yield from exchange(calls.model(model), retries)).active_version
    if version is None:
        raise NotReadyError(f"model {model} has no active version: name one", status=503)
    content = yield from exchange(calls.state_dict(model, version, _KINDS[path.suffix]), retries)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
