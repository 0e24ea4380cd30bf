"""Answers a prediction: which version, and which errors."""

from __future__ import annotations

import time

import torch

from ml.errors import ArtifactError, InputError
from service.errors import InvalidRequestError, VersionUnloadableError
from service.registry.registry import Registry
from service.schemas.predict import PredictResponse
from service.serving.pool import Pool, Served
from service.serving.rollout import Rollout
from service.serving.rows import Rows, too_many_rows
from service.serving.statistics import ProcessStatistics, Statistics


class Inference:
    """The road of every prediction, whatever the protocol."""

    def __init__(
        self,
        pool: Pool,
        registry: Registry,
        rollout: Rollout,
        max_rows: int,
        statistics: Statistics | None = None,
    ) -> None:
        self._pool = pool
        self._registry = registry
        self._rollout = rollout
        self._max_rows = max_rows
        self.statistics: Statistics = statistics or ProcessStatistics()

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

    def predict(self, served: Served, rows: Rows) -> torch.Tensor:
        """Predictions ``y_NT`` for ``rows`` by ``served``, on the CPU; each fits float32.

        Raises:
            InvalidRequestError: too many rows, or a row does not fit the model or overflows.
        """
        count = len(rows.x_NF)
        if count > self._max_rows:
            raise too_many_rows(f"{count:,}", self._max_rows, rows.pointer)
        began = time.perf_counter_ns()
        answered: int | None = None
        try:
            y_NT = served.predictor.predict(rows.x_NF)
            answered = count
        except InputError as error:
            detail = f"{error} (model {served.model}, version {served.version})"
            raise InvalidRequestError(detail, [rows.fault(error.row, detail)]) from error
        finally:
            spent = time.perf_counter_ns() - began
            self.statistics.count(served.model, served.version, answered, spent)
        return y_NT

    def answer(self, served: Served, rows: Rows, explain: bool = False) -> PredictResponse:
        """Predict ``rows`` by ``served``; with ``explain``, tell which of them extrapolate.

        Raises:
            InvalidRequestError: too many rows, or a row does not fit the model or overflows.
        """
        y_NT = self.predict(served, rows)
        y = y_NT[:, 0] if served.predictor.targets == 1 else y_NT
        outside_N = served.predictor.extrapolates(rows.x_NF) if explain else None
        # Not validated again: these are floats by construction.
        return PredictResponse.model_construct(
            y=y.tolist(),
            model=served.model,
            version=served.version,
            extrapolating=None if outside_N is None else outside_N.tolist(),
        )
