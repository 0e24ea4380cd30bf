"""Files that people might bring, good and bad; written by the real `torch.save` and `pickle`."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

LINE = {"weights": torch.tensor([0.7]), "bias": torch.tensor([0.3])}


class Malicious:
    """Unpickled by `pickle.load`, it leaves a file where ``marker`` says."""

    def __init__(self, marker: Path) -> None:
        self._command = f"touch {marker}"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self._command,)


def saved(value: Any, legacy: bool = False) -> bytes:
    """What `torch.save` writes, today or before torch 1.6."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def malicious_files(marker: Path) -> dict[str, bytes]:
    """Each of them would run the command if it were unpickled as Python unpickles."""
    evil = Malicious(marker)
    return {
        "bare pickle": pickle.dumps(evil),
        "bare pickle of old": pickle.dumps(evil, protocol=0),
        "in a state_dict": saved({"weights": torch.ones(1), "bias": evil}),
        "in a legacy file": saved({"weights": evil}, legacy=True),
        "as a key": saved({evil: torch.ones(1)}),
        "beside the state_dict": saved({"state_dict": LINE, "optimizer": [evil]}),
    }


def bomb(numbers: int) -> bytes:
    """A small file whose tensor takes four bytes for each of ``numbers`` zeros."""
    plain = zipfile.ZipFile(io.BytesIO(saved({"weights": torch.zeros(numbers)})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    return buffer.getvalue()
