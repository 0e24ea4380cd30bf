"""A model that somebody brings becomes a version: checked, warmed, durable, registered."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as library_version

import torch

from ml.artifact import Bundle
from ml.errors import ExchangeError
from ml.exchange.brought import bundle_of
from ml.predictor import Predictor
from ml.spec.exchange import ImportSpec
from ml.spec.model import BUILT_IN
from ml.spec.plugins import in_one_line
from service.artifacts.disk import trouble_in_words
from service.artifacts.local import LocalArtifacts
from service.entities import Deployment, ModelVersion, NewVersion, Promotion
from service.errors import Fault, InvalidRequestError
from service.schemas.models import PromoteImport
from service.settings import Settings
from service.store.database import Database, Stores

WARNING = "it was imported: nothing here tells what it was trained on or how good it is"


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    version: ModelVersion
    is_new: bool
    """False where the model had this very artifact already."""
    promotion: Promotion


class Importer:
    """Takes models in; the work of a request, so not for the event loop."""

    def __init__(
        self,
        database: Database,
        artifacts: LocalArtifacts,
        settings: Settings,
        device: torch.device,
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._settings = settings
        self._device = device

    def add(
        self,
        model: str,
        spec: ImportSpec,
        state: Mapping[str, torch.Tensor],
        sha256: str,
        promote: PromoteImport,
    ) -> Imported:
        """Publish and register it; ``sha256`` is that of what was sent.

        The same artifact is the same version: a repeated import registers nothing, and applies
        ``promote`` once more.

        Raises:
            InvalidRequestError: state_dict and description are not a model together, or it is
                larger than the settings allow.
            StorageFullError, StoreUnavailableError: there is no room for it on the disk, or the
                disk cannot be written.
        """
        self._check_limits(spec, state)
        try:
            bundle = bundle_of(spec, state)
            self._try_out(bundle)
        except ExchangeError as error:
            raise InvalidRequestError(str(error), [Fault("", str(error))]) from error
        with trouble_in_words("an import"):
            artifact = self._artifacts.publish(bundle)
        now = datetime.now(UTC)
        with self._database.write() as stores:
            version = stores.versions.find(model, artifact)
            is_new = version is None
            if version is None:
                new = _new_version(model, bundle, artifact, sha256)
                version = stores.versions.add(new, "import", now)
            promotion = _promote(stores, version, promote, now)
        return Imported(version, is_new, promotion)

    def _check_limits(self, spec: ImportSpec, state: Mapping[str, torch.Tensor]) -> None:
        """Price it before anything of its size is made."""
        numbers = sum(values.numel() for values in state.values())
        bounds = [
            ("numbers in the state_dict", numbers, self._settings.max_parameters),
            ("hidden units", spec.architecture.hidden_units, self._settings.max_hidden_units),
        ]
        faults = [
            # The figure of hidden units may have any number of digits.
            Fault("", f"more than {bound:,} {what}, which is the most that is allowed")
            for what, figure, bound in bounds
            if figure > bound
        ]
        if faults:
            raise InvalidRequestError("the model is larger than this service allows", faults)

    def _try_out(self, bundle: Bundle) -> None:
        """Let it predict once, as every process will that loads it."""
        try:
            Predictor(bundle, self._device).warm_up()
        except Exception as error:
            if type(bundle.architecture) in BUILT_IN:
                raise
            # Whatever a person's own forward raises with parameters that it was never given.
            message = f"a module of {bundle.architecture.kind} with this state_dict raised"
            raise ExchangeError(f"{message} {in_one_line(error)}") from error


def _new_version(model: str, bundle: Bundle, artifact: str, sha256: str) -> NewVersion:
    categories = {name: list(words) for name, words in bundle.categories.items()}
    return NewVersion(
        model=model,
        # Of no job: the row wants an id that no other has.
        job_id=uuid.uuid4().hex,
        artifact=artifact,
        spec={
            "data": {"source": "import", "categories": categories},
            "architecture": bundle.architecture.model_dump(mode="json"),
        },
        metrics={},
        truth=None,
        least_squares=None,
        data_sha256=sha256,
        environment={"refit": library_version("refit"), "torch": torch.__version__},
        warnings=[WARNING],
        feature_names=list(bundle.feature_names),
        target_names=list(bundle.target_names),
    )


def _promote(
    stores: Stores, version: ModelVersion, rule: PromoteImport, now: datetime
) -> Promotion:
    active = stores.deployments.get(version.model)
    if active is not None and active.version == version.number:
        return Promotion(True, "it is the active version already", active.generation)
    promoted, reason = _decide(stores, active, rule)
    if not promoted:
        return Promotion(False, reason)
    generation = stores.deployments.move(version.model, version.number, "promoted", now)
    return Promotion(True, reason, generation)


def _decide(stores: Stores, active: Deployment | None, rule: PromoteImport) -> tuple[bool, str]:
    """There are no rows that both could be scored on, so a version that serves is left alone."""
    if rule == "never":
        return False, "promote is never"
    if active is None:
        return True, "first version"
    if rule == "always":
        return True, "promote is always"
    if stores.versions.get(active.model, active.version).origin == "bootstrap":
        return True, f"version {active.version} is the line of the first start"
    return False, f"version {active.version} is active: activate this one by name"
