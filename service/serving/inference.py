"""Answers a prediction: which version, which rows, which errors."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

import numpy as np
import torch

from ml.artifact import Bundle
from ml.errors import ArtifactError, InputError
from ml.spec.base import FLOAT32_MAX
from service.errors import Fault, InvalidRequestError, VersionUnloadableError
from service.registry.registry import Registry
from service.schemas.predict import PredictRequest, PredictResponse
from service.serving.pool import Pool, Served
from service.serving.rollout import Rollout


@dataclass(frozen=True)
class Rows:
    """Rows to predict, float64, and where in the body they stand."""

    x_NF: torch.Tensor
    pointer: str
    """JSON pointer of the rows."""
    rows_have_pointers: bool = True
    """Whether row i stands at pointer/i."""

    def fault(self, row: int | None, detail: str) -> Fault:
        if row is None or not self.rows_have_pointers:
            return Fault(self.pointer, detail)
        return Fault(f"{self.pointer}/{row}", detail)


class Inference:
    """The road of every prediction, whatever the protocol."""

    def __init__(self, pool: Pool, registry: Registry, rollout: Rollout, max_rows: int) -> None:
        self._pool = pool
        self._registry = registry
        self._rollout = rollout
        self._max_rows = max_rows

    def active(self, model: str) -> Served | None:
        """The version that is to answer now, without waiting; None where none is loaded."""
        return self._pool.active(model)

    def require_active(self, model: str) -> Served:
        """The version that is to answer now. May ask the database: not for the event loop.

        Raises:
            ModelNotFoundError, NotReadyError: there is none.
        """
        served = self._pool.active(model)
        if served is None:
            raise self._registry.why_no_active(model)
        return served

    def version(self, model: str, number: int) -> Served:
        """A version by number, loaded if need be. Asks the database: not for the event loop.

        Raises:
            ModelNotFoundError, VersionNotFoundError: there is none.
            VersionUnloadableError: its files are missing or damaged.
        """
        version = self._registry.version(model, number)
        artifact = version.artifact
        try:
            predictor = self._pool.other(artifact, lambda: self._rollout.load(artifact))
        except ArtifactError as error:
            message = f"version {number} of model {model} cannot be loaded: {error}"
            raise VersionUnloadableError(message) from error
        return Served(model, number, 0, artifact, predictor)

    def answer(self, served: Served, rows: Rows) -> PredictResponse:
        """Predict ``rows`` by ``served``.

        Raises:
            InvalidRequestError: too many rows, or a row does not fit the model or overflows.
        """
        count = len(rows.x_NF)
        if count > self._max_rows:
            detail = f"{count:,} rows sent, at most {self._max_rows:,} allowed"
            raise InvalidRequestError(detail, [Fault(rows.pointer, detail)])
        try:
            y_NT = served.predictor.predict(rows.x_NF)
        except InputError as error:
            detail = f"{error} (model {served.model}, version {served.version})"
            raise InvalidRequestError(detail, [rows.fault(error.row, detail)]) from error
        y = y_NT[:, 0] if served.predictor.targets == 1 else y_NT
        # Not validated again: these are floats by construction.
        return PredictResponse.model_construct(
            y=y.tolist(), model=served.model, version=served.version
        )


def rows_of(request: PredictRequest, bundle: Bundle) -> Rows:
    """The rows of a JSON body.

    Raises:
        InvalidRequestError: rows of different lengths, or names that are not the model's.
    """
    if request.rows is not None:
        return _named_rows(request.rows, bundle.feature_names)
    x = request.x
    if isinstance(x, float):
        return Rows(torch.tensor([[x]], dtype=torch.float64), "/x", rows_have_pointers=False)
    assert x is not None
    features = len(bundle.feature_names)
    if isinstance(x[0], list):
        for index, row in enumerate(x):
            assert isinstance(row, list)
            if len(row) != features:
                detail = f"expected {features} features, got {len(row)} in row {index}"
                raise InvalidRequestError(detail, [Fault(f"/x/{index}", detail)])
    elif features != 1:
        detail = f"expected rows of {features} features such as [[…]], got a flat list of numbers"
        raise InvalidRequestError(detail, [Fault("/x", detail)])
    # Through numpy: several times as fast as torch.tensor of a nested list.
    return Rows(torch.from_numpy(np.array(x, dtype=np.float64).reshape(len(x), -1)), "/x")


def _named_rows(rows: list[dict[str, float]], names: tuple[str, ...]) -> Rows:
    wanted = set(names)
    for index, row in enumerate(rows):
        if row.keys() != wanted:
            missing, unknown = sorted(wanted - row.keys()), len(row.keys() - wanted)
            detail = f"row {index}: expected the features {', '.join(names)}"
            detail += f"; missing {', '.join(missing)}" if missing else ""
            detail += f"; {unknown} unknown" if unknown else ""
            raise InvalidRequestError(detail, [Fault(f"/rows/{index}", detail)])
    values = [[row[name] for name in names] for row in rows]
    return Rows(torch.tensor(values, dtype=torch.float64), "/rows")


def rows_of_csv(body: bytes, bundle: Bundle, max_rows: int) -> Rows:
    """The rows of a `text/csv` body whose header holds the feature names, in any order.

    Raises:
        InvalidRequestError: names the line and the column, or says that there are too many rows.
    """
    names = bundle.feature_names
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        if sorted(header) != sorted(names):
            raise _refusal(f"line 1: expected the header {', '.join(names)}")
        values: list[list[float]] = []
        for number, line in enumerate(lines, start=2):
            if not line:
                continue
            if len(values) == max_rows:
                raise _refusal(f"more than {max_rows:,} rows sent, at most {max_rows:,} allowed")
            if len(line) != len(names):
                raise _refusal(f"line {number}: expected {len(names)} values, got {len(line)}")
            cells = dict(zip(header, line, strict=True))
            values.append([_cell(cells[name], name, number) for name in names])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refusal(f"the body is no CSV in UTF-8: {error}") from error
    if not values:
        raise _refusal("expected at least one line below the header")
    return Rows(torch.tensor(values, dtype=torch.float64), "", rows_have_pointers=False)


def _refusal(detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, [Fault("", detail)])


def _cell(text: str, column: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # float() takes "nan", "1_0" and digits of other scripts; a CSV of numbers holds none of them.
    if not abs(value) <= FLOAT32_MAX or "_" in text or not text.isascii():
        raise _refusal(f"line {line}, column {column}: expected a number within float32")
    return value
