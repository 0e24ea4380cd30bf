"""Reads a file of unknown origin in a process that can do nothing else; torch-free by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as safetensors_load

import ml
from ml.errors import ExchangeError

MAX_FILE_BYTES = 256 * 2**20
"""Sixty million parameters; a service takes ten (`REFIT_MAX_PARAMETERS`) unless told otherwise."""

MEMORY_BYTES = 5 * MAX_FILE_BYTES
"""For the file, its tensors, their copies in float32, and the answer; the libraries come on top."""

SECONDS = 60

_FLOAT32_GROWTH = 2
"""Tensors in half precision take twice as many bytes in float32."""

_MAX_LINE = 16 * 2**20

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from ml.exchange.unpickling import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(frozen=True)
class Foreign:
    """The tensors of a file, float32 or whole numbers, in the order of the file."""

    state: Mapping[str, np.ndarray]
    described: str | None
    """What a file of ours says of itself, as the JSON of an `ImportSpec`."""
    notes: tuple[str, ...]
    """What was changed on the way, in sentences."""


def read_foreign(path: Path, max_bytes: int = MAX_FILE_BYTES, seconds: float = SECONDS) -> Foreign:
    """The state_dict in a `.pth`, `.pt` or `.safetensors` file; nothing in it is ever run.

    Raises:
        ExchangeError: there is none, or it is too large, in one sentence.
    """
    if not path.is_file():
        raise ExchangeError(f"{path}: there is no such file")
    try:
        size = path.stat().st_size
        if size > max_bytes:
            message = f"it has {size:,} bytes, at most {max_bytes:,} are taken"
            raise ExchangeError(f"{path}: {message}")
        with path.open("rb") as file:
            line, content = _ask(file, max_bytes, seconds)
        return _understood(line, content)
    except OSError as error:
        raise ExchangeError(f"{path}: cannot be read: {error.strerror}") from error
    except ExchangeError as error:
        if str(error).startswith(str(path)):
            raise
        raise ExchangeError(f"{path}: {error}") from error


def _ask(file: IO[bytes], max_bytes: int, seconds: float) -> tuple[bytes, bytes]:
    """The line and the bytes behind it that the process answers."""
    root = str(Path(ml.__file__).parent.parent)
    # -I: neither the folder one stands in nor the environment has a say in what is imported.
    command = [sys.executable, "-I", "-c", _PROGRAM, root, str(MEMORY_BYTES), str(int(seconds) + 1)]
    with subprocess.Popen(  # noqa: S603
        command,
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Libraries that start threads by themselves would do so before they can be told.
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        close_fds=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            process.kill()

        # Importing torch takes seconds of its own on a busy machine.
        watch = threading.Timer(3 * seconds, end)
        try:
            watch.start()
            line = process.stdout.readline(_MAX_LINE)
            most = _FLOAT32_GROWTH * max_bytes + _MAX_LINE
            content = process.stdout.read(most + 1)
            if len(content) > most:
                raise ExchangeError("its tensors are too large")
            code = process.wait()
        finally:
            watch.cancel()
            # It has ended, unless something went wrong here. Popen itself waits only a moment for
            # it after an interrupt.
            process.kill()
            process.wait()
    if code != 0 or is_late.is_set():
        raise ExchangeError(_how_it_ended(code, is_late.is_set(), seconds))
    return line, content


def _how_it_ended(code: int, is_late: bool, seconds: float) -> str:
    if is_late or code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"reading it took more than {seconds:g} seconds, or more memory than is allowed"
    return "reading it broke off: it is damaged, or made to break what reads it"


def _understood(line: bytes, content: bytes) -> Foreign:
    try:
        told = json.loads(line)
        if "error" in told:
            raise ExchangeError(str(told["error"]))
        state = safetensors_load(content)
        ordered = {key: state[key] for key in told["order"]}
        return Foreign(ordered, told["described"], tuple(told["notes"]))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        # The file may have taken over the process that read it: its answer is no more to be
        # trusted than the file.
        raise ExchangeError("reading it broke off") from error
