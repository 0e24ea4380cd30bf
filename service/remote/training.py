"""What a training is asked, from what a person has in hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, TypedDict

from service.remote import calls, frames
from service.remote.steps import Retries, Steps, exchange
from service.remote.uploads import Reading, upload
from service.schemas.datasets import DatasetSummaryResponse
from service.schemas.jobs import JobResponse

SMALL_CELLS = 10_000
"""A frame of numbers up to so many cells goes within the request and is kept with the job; a larger
one is sent as a dataset of its own."""

_DATASET_ID = re.compile(r"[0-9a-f]{32}\Z")

Part = str | Mapping[str, Any]


class DataOptions(TypedDict, total=False):
    """Which rows to train on, beside the data themselves."""

    x: Any
    """One number a row, or one list of F numbers a row: a list or an array."""
    y: Any
    target: str | Sequence[str]
    """The column to predict, or several; of files and frames."""
    features: Sequence[str]
    """Columns to predict from; every column of numbers that is no target where not given."""
    categories: Sequence[str]
    """Features that hold text."""
    missing: Literal["refuse", "drop"]
    """What to do about missing cells."""


class TrainOptions(DataOptions, total=False):
    """How to train: the fields of `POST /train`. What is left out, the service chooses."""

    split: Mapping[str, Any]
    architecture: Part
    """`linear`, `mlp`, … or an object with its `kind`."""
    loss: Literal["l1", "mse", "huber"]
    optimizer: Part
    """`sgd`, `adam`, `adamw`, `lbfgs` or an object with its `kind`."""
    epochs: int
    batch_size: int | None
    evaluate_every: int
    seed: int
    standardize: bool
    early_stopping: Mapping[str, Any] | None
    schedule: Part
    clip_grad_norm: float | None
    start_from: Literal["scratch", "active"] | int
    promote: Literal["if_better", "always", "never"]


_OF_DATA = frozenset(DataOptions.__annotations__)
_WITH_KIND = ("architecture", "optimizer", "schedule")


def spec_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the request but for its data; ``"mlp"`` is short for ``{"kind": "mlp"}``."""
    spec = {name: value for name, value in options.items() if name not in _OF_DATA}
    for name in _WITH_KIND:
        if isinstance(spec.get(name), str):
            spec[name] = {"kind": spec[name]}
    return spec


@dataclass(frozen=True)
class ToUpload:
    """Rows that are to be sent as a dataset first: a path, an open file or a frame."""

    source: Any
    columns: Mapping[str, Any]
    """Which columns of them to train on."""


def train(
    data: Any, model: str, options: Mapping[str, Any], key: str | None, retries: Retries
) -> Steps[JobResponse]:
    """Send the rows, where they are a dataset of their own, and ask for the training.

    Raises:
        TypeError, ValueError: as `data_of`.
    """
    spec, rows = spec_of(options), data_of(data, options)
    if isinstance(rows, ToUpload):
        dataset = yield from upload(rows.source, Reading(), retries)
        rows = _dataset(dataset.id, rows.columns)
    if rows is not None:
        spec["data"] = rows
    return (yield from exchange(calls.train(model, spec, key), retries))


def data_of(data: Any, options: Mapping[str, Any]) -> dict[str, Any] | ToUpload | None:
    """The rows to train on, or what is to be sent before; None for the tutorial's line.

    Raises:
        TypeError: what was given does not go together, or cannot be trained on.
        ValueError: a column is missing, or what kind of file it is cannot be told.
    """
    given = {name: options[name] for name in _OF_DATA if options.get(name) is not None}
    if data is None:
        return _points_or_line(given)
    if isinstance(data, Mapping):
        _refuse(given, "a spec of data")
        return dict(data)
    _refuse({name: given[name] for name in given if name in ("x", "y")}, "data")
    if "target" not in given:
        raise TypeError("say target=, the column to predict")
    if isinstance(data, DatasetSummaryResponse):
        return _dataset(data.id, given)
    if isinstance(data, str) and _DATASET_ID.match(data):
        return _dataset(data, given)
    if frames.is_frame(data):
        return _small(data, given) or ToUpload(data, given)
    if isinstance(data, str | PathLike) or hasattr(data, "read"):
        return ToUpload(data, given)
    kind = type(data).__name__
    raise TypeError(f"cannot train on {kind}: give x= and y=, a frame, a path, a dataset or a spec")


def _dataset(dataset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"source": "dataset", "dataset": dataset, **given}


def _points_or_line(given: Mapping[str, Any]) -> dict[str, Any] | None:
    _refuse({name: given[name] for name in given if name not in ("x", "y")}, "x and y")
    if ("x" in given) != ("y" in given):
        raise TypeError("x= and y= go together")
    if not given:
        return None
    x, x_names = _rows(given["x"])
    y, y_names = _rows(given["y"])
    data = {"source": "points", "x": x, "y": y}
    names = {"feature_names": x_names, "target_names": y_names}
    return data | {field: known for field, known in names.items() if known}


def _rows(values: Any) -> tuple[Any, list[str] | None]:
    """The rows of x or y, and the names of their columns where they have some."""
    if frames.is_frame(values):
        names = frames.names_of(values)
        columns = [frames.cells_of(values, name) for name in names]
        return [list(row) for row in zip(*columns, strict=True)], names
    if frames.is_series(values):
        return values.to_list(), [values.name] if values.name else None
    return values, None


def _refuse(given: Mapping[str, Any], beside: str) -> None:
    if given:
        raise TypeError(f"{', '.join(sorted(given))} cannot stand beside {beside}")


def _small(frame: Any, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """A small frame as points; None where it is large, or holds more than finite numbers."""
    targets = [given["target"]] if isinstance(given["target"], str) else list(given["target"])
    features = given.get("features")
    if features is None:
        features = [name for name in frames.names_of(frame) if name not in targets]
    names = [*features, *targets]
    if "categories" in given or "missing" in given or not features:
        return None
    if len(frame) * len(names) > SMALL_CELLS:
        return None
    columns = {name: frames.cells_of(frame, name) for name in names}
    if not all(frames.all_finite(cells) for cells in columns.values()):
        return None

    def rows(of: Sequence[str]) -> list[list[Any]]:
        return [list(row) for row in zip(*(columns[name] for name in of), strict=True)]

    return {
        "source": "points",
        "x": rows(features),
        "y": columns[targets[0]] if isinstance(given["target"], str) else rows(targets),
        "feature_names": list(features),
        "target_names": targets,
    }
