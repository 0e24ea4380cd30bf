"""`python -m ml.datasets`: reads one file in a process of its own.

One line of JSON comes in, ``{"source", "folder", "options"}``, and one goes out: ``{"profile"}`` or
``{"error": {"code", "message", "line", "column"}}``. The exit status is 0 for both; any other
is a crash. When its input ends, nobody waits for the answer: the process ends at once.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

NICENESS = 10
"""Reading gives way to the processes that answer requests."""

MAX_THREADS = 8
"""Of polars. Each holds some chunks of the file and their rows: with 8 a process takes 280 MB at
its peak, with 32 it would take 520."""

THREADS_PER_CORE = 2
"""While one waits for the disk, another reads: a tenth of the time on two cores."""

CHUNK_BYTES = 4 * 2**20
"""Of the file, in all threads together. polars' own choice takes twice the memory and is slower:
its chunks outgrow the caches."""

LEAST_CHUNK_ROWS = 200
"""Of a CSV file, in each thread, for which chunks grow to twice their bytes at most: in chunks of
100 rows, 1,000 columns take half as long again to parse."""

_START_BYTES = 256 * 1024
"""Of a file; they tell how long its lines are."""


def main() -> None:
    """Answer the one request of the process."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    request = json.loads(requests.readline())
    is_answered = threading.Event()
    threading.Thread(target=_end_with, args=(requests, is_answered), daemon=True).start()
    with suppress(OSError):
        os.nice(NICENESS)
    try:
        _bound_memory(Path(request["source"]))
        line = json.dumps(answer(request)).encode() + b"\n"
    # A panic of polars is no Exception.
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # The interpreter's own end would abort: the watch holds the lock of the input.
        os._exit(1)
    is_answered.set()
    answers.write(line)
    answers.flush()
    # Threads of polars may be at work still, on rows that are refused: nobody waits for them.
    os._exit(0)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The profile of the file asked for, or why there is none."""
    # Here, so that the watch over the input begins before polars is loaded.
    # What is loaded stays: to look for garbage in it on the way takes 15 ms.
    gc.disable()
    from ml.datasets.ingest import ingest
    from ml.datasets.options import ReadOptions
    from ml.errors import BadFileError

    gc.enable()

    options = dict(request["options"])
    options["text"] = tuple(options.get("text", ()))
    try:
        profile = ingest(Path(request["source"]), Path(request["folder"]), ReadOptions(**options))
    except BadFileError as error:
        told = {"code": error.code, "message": str(error)}
        return {"error": {**told, "line": error.line, "column": error.column}}
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return {"error": {"code": "storage_full", "message": "no space left", **_NOWHERE}}
    return {"profile": profile.to_json()}


_NOWHERE = {"line": None, "column": None}


def _bound_memory(source: Path) -> None:
    """Tell polars, which reads this once, before it is loaded; an operator's own choice stands."""
    environment = os.environ  # noqa: TID251 - not settings of ours: there is no other way to say it
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(MAX_THREADS, THREADS_PER_CORE * (cores or 1))
    environment.setdefault("POLARS_MAX_THREADS", str(threads))
    environment.setdefault("POLARS_CSV_CHUNK_SIZE", str(chunk_bytes(source, threads)))


def chunk_bytes(source: Path, threads: int) -> int:
    """Bytes of a CSV file that one of so many threads takes at once.

    Raises:
        OSError: the file cannot be read.
    """
    with source.open("rb") as file:
        start = file.read(_START_BYTES)
    line_bytes = len(start) // max(start.count(b"\n"), 1)
    wanted = threads * LEAST_CHUNK_ROWS * line_bytes
    return min(max(CHUNK_BYTES, wanted), 2 * CHUNK_BYTES) // threads


def _end_with(requests: IO[bytes], is_answered: threading.Event) -> None:
    requests.read()
    if not is_answered.is_set():
        os._exit(1)


if __name__ == "__main__":
    main()
