"""Answers a prediction: which version, and which errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ml.errors import ArtifactError, InputError
from ml.predictor import Floats
from ml.spec.base import MAX_FIELDS
from service.errors import Fault, InvalidRequestError, VersionUnloadableError
from service.registry.registry import Registry
from service.serving.plain import least_rows, read_rows
from service.serving.pool import Pool, Served
from service.serving.rollout import Rollout
from service.serving.rows import Rows, too_many_rows
from service.serving.work import Work


@dataclass(frozen=True)
class Answer:
    """The predictions of one version."""

    y_NT: np.ndarray
    extrapolating_N: np.ndarray | None
    """Whether each row lies outside what was seen in training; None where nobody asked, or the
    artifact does not tell."""
    passes: float = 1.0
    """The request's share of a forward pass."""


class Inference:
    """The road of every prediction, whatever the protocol."""

    def __init__(
        self,
        pool: Pool,
        registry: Registry,
        rollout: Rollout,
        max_rows: int,
    ) -> None:
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

    def plain_rows(self, served: Served, body: bytes) -> Rows | None:
        """The rows of a plain JSON body (`service.serving.plain`); None where it is
        not plain.

        Raises:
            InvalidRequestError: far too many rows, which are not even parsed.
        """
        if served.predictor.bundle.categories:
            return None
        if least_rows(body) > self._max_rows + MAX_FIELDS:
            detail = f"more than {self._max_rows:,} rows sent, at most {self._max_rows:,} allowed"
            raise InvalidRequestError(detail, [Fault("", detail)])
        found = read_rows(body, served.predictor.features)
        if found is not None:
            return Rows(torch.from_numpy(found[0]), "/x", found[1])
        x_NF = served.read_named(body)
        return None if x_NF is None else Rows(torch.from_numpy(x_NF), "/rows")

    def answer(
        self, served: Served, rows: Rows, explain: bool = False, dtype: Floats = None
    ) -> Answer:
        """Predict ``rows`` by ``served``, in the ``dtype`` of `Predictor.predict_array`; with
        ``explain``, tell which of them extrapolate.

        Raises:
            InvalidRequestError: too many rows, or a row does not fit the model or overflows.
        """
        self.check_count(rows)
        try:
            y_NT = served.predictor.predict_array(rows.x_NF.numpy(), dtype)
        except InputError as error:
            raise refusal(served, rows, error) from error
        return Answer(y_NT, _extrapolating(served, rows, explain))

    async def answer_joined(
        self, served: Served, rows: Rows, work: Work, explain: bool = False
    ) -> Answer:
        """`answer`, for a heavy model: beside the event loop, and joined with others' rows.

        Raises:
            InvalidRequestError: as `answer`.
            OverloadedError, DeadlineError: too much is worked on; it took too long.
        """
        self.check_count(rows)
        try:
            y_NT, passes = await work.predict(served.predictor, rows.x_NF.numpy())
        except InputError as error:
            raise refusal(served, rows, error) from error
        return Answer(y_NT, _extrapolating(served, rows, explain), passes)

    def check_count(self, rows: Rows) -> None:
        """Refuse too many rows.

        Raises:
            InvalidRequestError: there are more than the settings allow.
        """
        count = len(rows.x_NF)
        if count > self._max_rows:
            raise too_many_rows(f"{count:,}", self._max_rows, rows.pointer)


def _extrapolating(served: Served, rows: Rows, explain: bool) -> np.ndarray | None:
    outside_N = served.predictor.extrapolates(rows.x_NF) if explain else None
    return None if outside_N is None else outside_N.numpy()


def refusal(served: Served, rows: Rows, error: InputError) -> InvalidRequestError:
    """What the model said of the rows, with the place in the body."""
    detail = f"{error} (model {served.model}, version {served.version})"
    return InvalidRequestError(detail, [rows.fault(error.row, detail)])
