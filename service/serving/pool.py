"""The predictors loaded in this process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import orjson

from ml.predictor import Predictor
from service.serving.named import NamedRows


@dataclass(frozen=True)
class Served:
    """A loaded and warmed version. A request takes one and is answered by it, whatever swaps."""

    model: str
    version: int
    generation: int
    artifact: str
    predictor: Predictor

    @cached_property
    def tail(self) -> bytes:
        """How the body of an answer ends, after the numbers."""
        return b',"model":%b,"version":%d}' % (self.name_json, self.version)

    @cached_property
    def name_json(self) -> bytes:
        """The name of the model as JSON."""
        return orjson.dumps(self.model)

    @cached_property
    def parameters(self) -> int:
        """How many numbers the model has learned."""
        return sum(values.numel() for values in self.predictor.bundle.state.values())

    @cached_property
    def read_named(self) -> NamedRows:
        """Reads rows by feature name."""
        return NamedRows(self.predictor.bundle.feature_names)


class Pool:
    """Active versions by model, and a bounded number of others by artifact.

    `active` is a single dictionary read and `swap` a single write, so a reader sees the old
    version or the new one and never waits.
    """

    def __init__(self, max_others: int) -> None:
        self._active: dict[str, Served] = {}
        self._others: OrderedDict[str, Predictor] = OrderedDict()
        self._max_others = max_others
        self._lock = threading.Lock()

    def active(self, model: str) -> Served | None:
        """The version of ``model`` that is to answer now."""
        return self._active.get(model)

    def any_active(self) -> Served | None:
        """Some version that answers, if any does."""
        return next(iter(list(self._active.values())), None)

    def serving(self) -> tuple[list[tuple[str, int]], int]:
        """Model and number of each active version, and how many versions are in memory."""
        active = [(served.model, served.version) for served in list(self._active.values())]
        return active, len(self.artifacts())

    def artifacts(self) -> list[str]:
        """The artifact of each version that is loaded, in order."""
        with self._lock:
            others = list(self._others)
        return sorted({*others, *(served.artifact for served in list(self._active.values()))})

    def swap(self, served: Served) -> None:
        """Let ``served`` answer from now on."""
        self._active[served.model] = served

    def other(self, artifact: str, load: Callable[[], Predictor]) -> Predictor:
        """The predictor of an artifact; ``load`` makes it where it is not here.

        The one used longest ago leaves when there are too many.
        """
        for served in list(self._active.values()):
            if served.artifact == artifact:
                return served.predictor
        with self._lock:
            predictor = self._others.pop(artifact, None)
        if predictor is None:
            predictor = load()
        with self._lock:
            self._others[artifact] = predictor
            while len(self._others) > self._max_others:
                self._others.popitem(last=False)
        return predictor
