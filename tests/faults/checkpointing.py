"""A training that writes checkpoints, to be cut off, and what must come of it afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import service.jobs.checkpoints
import service.jobs.child
from ml.errors import CheckpointError, MLError
from ml.training.checkpoint import MAGIC, Checkpoint, decode
from service.artifacts.local import LocalArtifacts
from service.entities import Job
from service.jobs.checkpoints import Checkpoints, Pace
from service.jobs.child import run_job
from service.settings import Settings
from service.store.database import Database
from tests.faults.laying import about_the_file, lay_copy, lay_empty, settings_of
from tests.service.making import FORKSERVER, Place

TRAINING: dict[str, Any] = {
    "data": {
        "source": "points",
        "x": [[row / 7, (row * row) % 11 / 5] for row in range(60)],
        "y": [(row % 13) / 6 for row in range(60)],
    },
    "architecture": {"kind": "mlp", "hidden": [48, 48], "dropout": 0.2, "batch_norm": True},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "early_stopping": None,
    "batch_size": 16,
    "epochs": 60,
    "evaluate_every": 2,
    "promote": "never",
}
"""Takes some tenths of a second; dropout and shuffled batches go by every random number."""

SECONDS = 60

Run = Callable[[Settings, str, int], None]


def lay_claimed(data: Path) -> Path:
    """A data folder with one job, which is claimed and has no process yet, at rest."""
    lay_empty(data)
    place = _open(data)
    place.queue(**TRAINING)
    place.claim()
    place.database.close()
    return data


def _open(data: Path) -> Place:
    settings = settings_of(data)
    database = Database(settings.sqlalchemy_url)
    return Place(settings, database, LocalArtifacts(settings.artifacts_dir))


def _the_job(place: Place) -> Job:
    with place.database.read() as stores:
        (job,) = stores.jobs.list_newest(10, None, None, None)
    return job


# ---- what is cut off ----


def train(say: Callable[[int], None], data: Path) -> None:
    """Train the job of `lay_claimed`; say the number of each checkpoint once it is written."""
    write, numbers = Checkpoints.write, iter(range(1, 1000))

    def write_and_say(self: Checkpoints, content: bytes, fence: int | None = None) -> None:
        write(self, content, fence)
        say(next(numbers))

    Checkpoints.write = write_and_say  # type: ignore[method-assign]
    vars(service.jobs.child)["Pace"] = _EveryThirdReport
    place = _open(data)
    job = _the_job(place)
    place.database.close()
    run_job(place.settings, job.id, job.fence)


class _EveryThirdReport(Pace):
    """Checkpoints at the same places in each run, whatever they cost."""

    _asked = 0

    def is_due(self, size: Callable[[], int]) -> bool:
        self._asked += 1
        return self._asked % 3 == 0


def train_without_fsync(say: Callable[[int], None], data: Path) -> None:
    """The same, with checkpoints that are left to the kernel."""
    module = vars(service.jobs.checkpoints)
    module["write_durably"] = lambda path, content: path.write_bytes(content)
    module["sync"] = lambda folder: None
    train(say, data)


# ---- what must come of it ----


def run_and_trust(settings: Settings, job_id: str, fence: int) -> None:
    """A training that goes on from what a checkpoint holds, whatever its sha256."""
    vars(service.jobs.child)["decode"] = _trust
    run_job(settings, job_id, fence)


def _trust(content: bytes) -> Checkpoint:
    start = len(MAGIC) + hashlib.sha256().digest_size
    if content[: len(MAGIC)] != MAGIC:
        raise CheckpointError("it is none")
    return decode(MAGIC + hashlib.sha256(content[start:]).digest() + content[start:])


class Oracle:
    """Lets a training that was cut off run to its end, and compares with one that was not."""

    def __init__(self, start: Path, room: Path, run: Run = run_job) -> None:
        """``start`` is of `lay_claimed`, ``room`` an empty place; ``run`` is the next attempt."""
        self._run = run
        self.resumed = 0
        """States in which there was a whole checkpoint."""
        self.torn = 0
        """States in which one or both were not whole."""
        undisturbed = lay_copy(start, room)
        assert _attempt(undisturbed, run_job) == 0
        wanted = _result(undisturbed)
        assert isinstance(wanted, dict), wanted
        self._wanted = wanted

    def complaints(self, data: Path, said: int, repeat: bool) -> list[str]:
        """What is wrong with a folder of which ``said`` checkpoints were acknowledged."""
        wrong = about_the_file(data / "refit.db")
        if wrong:
            return wrong
        place = _open(data)
        try:
            job = _the_job(place)
            if job.state == "running":
                newest, torn = _look(place, job)
                self.resumed += newest > 0
                self.torn += torn
                if newest < said:
                    wrong.append(f"checkpoint {said} was acknowledged, {newest} is the newest")
                with place.database.write() as stores:
                    # What a supervisor does once the lease has run out.
                    stores.jobs.requeue(job.id, job.fence, datetime.now(UTC), count_attempt=True)
                place.claim()
        finally:
            place.database.close()
        if job.state == "running":
            code = _attempt(data, self._run)
            if code != 0:
                wrong.append(f"the next attempt exited with code {code}")
        result = _result(data)
        if isinstance(result, str):
            return [*wrong, result]
        other = [name for name, value in self._wanted.items() if result[name] != value]
        return [*wrong, f"came to another {', another '.join(other)}"] if other else wrong


def _look(place: Place, job: Job) -> tuple[int, bool]:
    """The number of the newest checkpoint that is whole, 0 for none; and whether any is not."""
    newest, torn = 0, False
    for name, content in Checkpoints(place.settings.checkpoints_dir / job.id).newest_first():
        try:
            decode(content)
        except CheckpointError:
            torn = True
        else:
            newest = max(newest, int(name.partition("-")[0]))
    return newest, torn


def _attempt(data: Path, run: Run) -> int:
    """Train the job under the fence it has, in a process of its own; the exit code."""
    place = _open(data)
    job = _the_job(place)
    place.database.close()
    process = FORKSERVER.Process(target=run, args=(place.settings, job.id, job.fence))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _result(data: Path) -> dict[str, Any] | str:
    """All that the training came to; in words where it came to nothing."""
    place = _open(data)
    try:
        job = _the_job(place)
        if job.state != "succeeded" or job.version is None:
            return f"it is {job.state}: {job.error}"
        with place.database.read() as stores:
            artifact = stores.versions.get(job.model, job.version).artifact
            curve = stores.jobs.curve(job.id)
            kinds = [event.kind for event in stores.jobs.events(job.id, 0, 10_000)]
        place.artifacts.load(artifact)
    except MLError as error:
        return f"its version does not load: {error}"
    finally:
        place.database.close()
    counts = {f"number of {kind}s": kinds.count(kind) for kind in ("point", "end")}
    return {"artifact": artifact, "curve": curve, "metrics": job.metrics, **counts}
