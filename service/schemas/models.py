"""What is told about models, versions, parameters and deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from service.schemas.jobs import PromotionResponse, Response

PromoteImport = Literal["if_first", "always", "never"]

Numbers = float | list[float] | list[list[float]]


class ModelResponse(Response):
    """A model."""

    model: str
    active_version: int | None
    versions: int
    """How many versions it has."""
    created_at: datetime
    links: dict[str, str]


class ModelInFullResponse(ModelResponse):
    """A model, and what a rollback would do to it."""

    rollback_version: int | None
    """The version that a rollback would make the active one; null where there is none."""


class ModelListResponse(Response):
    """A page of models, by name."""

    models: list[ModelResponse]
    next: str | None


class ArtifactResponse(Response):
    """What vouches for the version's bytes."""

    sha256: str
    """Of the manifest, which holds the sha256 of the weights."""


class VersionResponse(Response):
    """A version: what was asked, what came out, and what it depends on."""

    model: str
    version: int
    active: bool
    spec: dict[str, Any]
    metrics: dict[str, float | None]
    warnings: list[str]
    """What a person should know before trusting it, in words."""
    data_sha256: str
    """Of the rows that it was trained on; of an import, of the body that brought it."""
    environment: dict[str, Any]
    artifact: ArtifactResponse
    origin: Literal["api", "bootstrap", "import"]
    """`api`: trained by a request; `bootstrap`: by the first start; `import`: trained elsewhere."""
    job: str | None
    """The job that trained it; null of an import."""
    created_at: datetime
    links: dict[str, str]


class ImportResponse(VersionResponse):
    """The version that an imported model became, and whether it is the active one now."""

    promotion: PromotionResponse


class VersionListResponse(Response):
    """A page of versions, newest first."""

    versions: list[VersionResponse]
    next: str | None


class LineResponse(Response):
    """Weight and bias in raw units."""

    weight: Numbers
    bias: Numbers


class LeastSquaresResponse(LineResponse):
    """The optimum over the training rows in closed form, and how far the model is from it."""

    gap: float | None
    """Root mean square difference of their predictions for the training rows, in standard
    deviations of y; null for versions of before it was kept."""


class ParamsResponse(Response):
    """The parameters of a version, beside the truth where it is known."""

    model: str
    version: int
    architecture: dict[str, Any]
    feature_names: list[str]
    target_names: list[str]
    categories: dict[str, list[str]]
    """The values of each feature that is text."""
    columns: list[str]
    """What the weights belong to: the features, with one column for each value of a category."""
    state_dict: dict[str, Any] | None
    """Null where the request left it out."""
    units: Literal["raw", "standardized"]
    """Of the state_dict. `raw`: the scaling, if any, is folded in; `standardized`: the architecture
    cannot do that, and its module takes and gives values that the scaling has standardized."""
    weight: Numbers | None
    """A list for several columns; null where the model is not linear."""
    bias: Numbers | None
    truth: LineResponse | None
    """The parameters that made the data; null for real data."""
    least_squares: LeastSquaresResponse | None
    """The optimum over the training rows, in closed form; null where the model is not linear."""


class DeploymentResponse(Response):
    """The active version after a move, and how many web processes serve it already."""

    model: str
    version: int
    generation: int
    """Grows with every move of any model."""
    workers: int
    """Live web processes."""
    acknowledged: int
    """Those of them that serve this deployment already; all of them with `Prefer: wait`."""
    failures: list[str]
    links: dict[str, str]
