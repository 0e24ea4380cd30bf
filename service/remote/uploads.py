"""Files and frames as datasets."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict

from service.remote import frames
from service.remote.steps import Answer, Call, FileBody, Retries, Steps, exchange
from service.schemas.datasets import DatasetResponse, Delimiter

Format = Literal["csv", "ndjson", "parquet"]

MEDIA: dict[Format, str] = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}

READ_SECONDS = 3600.0
"""How long the service may take to read a file that it has got: 10 M rows of CSV take seconds, the
largest that it takes some minutes."""


class ReadOptions(TypedDict, total=False):
    """How a file is to be read, and what to call it: what `Reading` keeps."""

    name: str
    format: Format
    delimiter: Delimiter
    decimal: Literal["point", "comma"]
    text: Sequence[str]


@dataclass(frozen=True)
class Reading:
    """How a file is to be read, and what to call it."""

    name: str | None = None
    format: Format | None = None
    """By the ending of the name where not given."""
    delimiter: Delimiter | None = None
    """Between cells of CSV; found out by the service where not given."""
    decimal: Literal["point", "comma"] | None = None
    """What stands before the decimals of a number in CSV."""
    text: Sequence[str] = ()
    """Columns to read as text whatever they hold."""


def upload(source: Any, reading: Reading, retries: Retries) -> Steps[DatasetResponse]:
    """Send a frame, an open file, or the file at a path.

    Raises:
        OSError: the path cannot be opened.
        ValueError, TypeError: as `upload_call`.
    """
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            named = replace(reading, name=reading.name or Path(source).name)
            return (yield from exchange(upload_call(file, named), retries))
    return (yield from exchange(upload_call(source, reading), retries))


def upload_call(source: Any, reading: Reading) -> Call[DatasetResponse]:
    """The request that sends a frame, or a file that is open for reading bytes.

    It may be sent again as the same bytes are the same dataset, as far as the file can go back.

    Raises:
        ValueError: what kind of file it is cannot be told by its name.
        TypeError: it is neither.
    """
    body: bytes | FileBody
    if frames.is_frame(source):
        text = [name for name in frames.names_of(source) if frames.is_text(source, name)]
        reading = replace(reading, format="csv", delimiter="comma", text=(*reading.text, *text))
        body = frames.as_csv(source)
    elif hasattr(source, "read"):
        body = _body_of(source)
    else:
        kind = type(source).__name__
        raise TypeError(f"expected a path, a file open for reading or a frame, got {kind}")
    file_name = str(getattr(source, "name", ""))
    if reading.delimiter is None and file_name.lower().endswith(".tsv"):
        reading = replace(reading, delimiter="tab")
    headers = {"Content-Type": MEDIA[reading.format or format_of(file_name)]}
    if isinstance(body, FileBody) and body.size is not None:
        headers["Content-Length"] = str(body.size)
    return Call(
        "POST",
        "/datasets",
        _parse,
        query=tuple(_query(reading)),
        headers=headers,
        body=body,
        repeatable=True,
        hold_seconds=READ_SECONDS,
    )


def format_of(name: str) -> Format:
    """What kind of file a name tells of.

    Raises:
        ValueError: none that is known.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise ValueError(
            f"what kind of file is {name!r}? Its name ends in none of {known}: say format="
        )
    return _SUFFIXES[suffix]


def _parse(answer: Answer) -> DatasetResponse:
    return DatasetResponse.model_validate_json(answer.content)


def _body_of(file: BinaryIO) -> FileBody:
    if isinstance(file, io.TextIOBase):
        raise TypeError("expected a file that is open for reading bytes: open it with mode 'rb'")
    try:
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    except (OSError, AttributeError):
        return FileBody(file, None, None)
    return FileBody(file, start, size)


def _query(reading: Reading) -> Iterable[tuple[str, str]]:
    if reading.name is not None:
        yield "name", reading.name
    if reading.delimiter is not None:
        yield "delimiter", reading.delimiter
    if reading.decimal is not None:
        yield "decimal", reading.decimal
    for name in reading.text:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([name])
        yield "text", line.getvalue()
