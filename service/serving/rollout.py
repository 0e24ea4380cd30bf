"""Brings new active versions into the pool: load, verify, warm, then swap one reference."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import torch

from ml.errors import MLError
from ml.predictor import Predictor
from service.artifacts.local import LocalArtifacts
from service.entities import Deployment, Worker
from service.errors import StoreUnavailableError
from service.serving.bell import Bell
from service.serving.pool import Pool, Served
from service.store.database import Database
from service.store.watch import Stamp

logger = logging.getLogger(__name__)

ANNOUNCE_SECONDS = 3.0
"""How often a web process says that it lives; `service.registry.registry.WORKER_LIVE_SECONDS`
counts on three chances."""

RETRY_SECONDS = 5.0
"""Wait before a version that could not be loaded is tried again."""

LISTENED_SECONDS = 0.03
"""Longest time between two turns while somebody waits for rows to change."""


class Rollout:
    """Turn the crank with `step`; `start` turns it in a thread of its own.

    Its `bell` rings when rows may have changed, whoever wrote them.
    """

    def __init__(
        self,
        database: Database,
        artifacts: LocalArtifacts,
        pool: Pool,
        device: torch.device,
        node: str,
        slot: int,
        pid: int,
    ) -> None:
        self.bell = Bell()
        self.acknowledged = -1
        """The generation that the rows say this process serves; -1 before there is one."""
        self._database = database
        self._watch = database.watch()
        self._artifacts = artifacts
        self._pool = pool
        self._device = device
        self._node, self._slot, self._pid = node, slot, pid
        self._generation = -1
        self._stamp: Stamp | None = None
        self._failures: dict[str, str] = {}
        self._retry_at = 0.0
        self._announce_at = 0.0
        self._store_is_away = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self, now: float) -> None:
        """Look for new deployments, load them, and say how it went.

        ``now`` is in seconds of a steady clock. Nothing here raises: what is loaded keeps serving
        whatever happens to the database or the files.
        """
        try:
            self._look(now)
        except StoreUnavailableError as error:
            if not self._store_is_away:
                logger.warning("what is loaded keeps serving: %s", error)
            self._store_is_away = True
        else:
            self._store_is_away = False

    def _look(self, now: float) -> None:
        # Of before the rows are read: what is written meanwhile makes the next turn read again.
        stamp = self._watch.stamp()
        is_new = stamp is None or stamp != self._stamp
        retry = bool(self._failures) and now >= self._retry_at
        if is_new:
            self.bell.ring()
        if is_new or retry:
            newest = self._watch.newest_generation()
            if newest != self._generation or retry:
                self._follow(newest, now)
            self._stamp = stamp
        if now >= self._announce_at:
            self._announce(now)

    def _follow(self, newest: int, now: float) -> None:
        with self._database.read() as stores:
            # Younger than `newest`, perhaps: then the next turn finds no more to do than to say so.
            deployments = stores.deployments.list_all()
        for deployment in deployments:
            self._bring_in(deployment, now)
        self._generation = newest
        # Until it is written, every turn tries to.
        self._announce_at = now

    def _bring_in(self, deployment: Deployment, now: float) -> None:
        model, current = deployment.model, self._pool.active(deployment.model)
        if current is not None and current.generation == deployment.generation:
            return
        try:
            if current is not None and current.artifact == deployment.artifact:
                predictor = current.predictor
            else:
                predictor = self.load(deployment.artifact)
        except MLError as error:
            self._failures[model] = f"{model} version {deployment.version}: {error}"
            self._retry_at = now + RETRY_SECONDS
            logger.error("the old version keeps serving: %s", self._failures[model])
            return
        self._failures.pop(model, None)
        self._pool.swap(
            Served(model, deployment.version, deployment.generation, deployment.artifact, predictor)
        )
        logger.info("model %s: version %d serves", model, deployment.version)

    def load(self, artifact: str) -> Predictor:
        """Read, verify and warm.

        Raises:
            ArtifactError: its files are missing or damaged.
        """
        predictor = Predictor(self._artifacts.load(artifact), self._device)
        predictor.warm_up()
        return predictor

    def _announce(self, now: float) -> None:
        failure = "; ".join(self._failures.values())[:1024] or None
        worker = Worker(
            self._node,
            self._slot,
            self._pid,
            self._generation,
            failure,
            datetime.now(UTC),
            tuple(self._pool.artifacts()),
        )
        with self._database.write(beside_others=True) as stores:
            stores.workers.announce(worker)
        self.acknowledged = worker.generation
        self._announce_at = now + ANNOUNCE_SECONDS

    def start(self, every_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Turn the crank in a daemon thread until `stop`."""

        def turn() -> None:
            listened = min(every_seconds, LISTENED_SECONDS)
            while not self._stop.wait(listened if self.bell.is_heard else every_seconds):
                try:
                    self.step(clock())
                except Exception:
                    # The thread must not die: this process would serve an old version for ever.
                    logger.exception("the rollout stumbled and goes on")

        self._thread = threading.Thread(target=turn, name="rollout", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take this process off the list of workers."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        self._watch.close()
        try:
            with self._database.write() as stores:
                stores.workers.forget(self._node, self._slot, self._pid)
        except StoreUnavailableError:
            logger.warning("could not take this process off the list of workers")
