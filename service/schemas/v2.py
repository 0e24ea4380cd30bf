"""What the Open Inference Protocol v2 takes and gives.

The words are those of the protocol (`specification/protocol/inference_rest.md`) and of Triton's
extensions for binary tensors, the repository, statistics and the configuration.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from ml.spec.base import InSlices, Number, check_field_count
from service.schemas.jobs import Response
from service.schemas.predict import MAX_FEATURES, MAX_TEXT
from service.schemas.problem import ProblemResponse

T = TypeVar("T")

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
"""The names of the protocol; what each holds, `service.serving.tensors` knows."""

_EXAMPLES: list[Any] = [
    {"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [0.5, 0.6]}]},
    {
        "id": "42",
        "inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP64", "data": [[0.5], [0.6]]}],
        "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
    },
    {
        "inputs": [{"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [1]}],
        "parameters": {"binary_data_output": True},
    },
]


class _Request(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _count_fields(cls, value: Any) -> Any:
        return check_field_count(value)


class _Parameters(_Request):
    """Parameters that are not listed are allowed and mean nothing, as the protocol has it."""

    model_config = ConfigDict(extra="allow")


def _kind(data: Any) -> str:
    first = data[0] if isinstance(data, list) and data else None
    nested = isinstance(first, list)
    if isinstance(first, list):
        first = first[0] if first else None
    if isinstance(first, bool):
        return "boolean_rows" if nested else "booleans"
    if isinstance(first, str):
        return "text_rows" if nested else "texts"
    return "rows" if nested else "numbers"


_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_List = Annotated[list[T], Field(fail_fast=True), InSlices]
TensorData = Annotated[
    Annotated[_List[Number], Tag("numbers")]
    | Annotated[_List[_List[Number]], Tag("rows")]
    | Annotated[_List[bool], Tag("booleans")]
    | Annotated[_List[_List[bool]], Tag("boolean_rows")]
    | Annotated[_List[_Text], Tag("texts")]
    | Annotated[_List[_List[_Text]], Tag("text_rows")],
    Discriminator(_kind),
]


class InputParameters(_Parameters):
    """Parameters of an input."""

    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    """Bytes of this tensor behind the JSON; then there is no `data`."""
    shared_memory_region: Any = None
    """Refused: this service shares no memory with clients."""


class InferInput(_Request):
    """One tensor, row-major."""

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**64)]], Field(max_length=8)]
    """Of the whole batch."""
    datatype: Datatype
    parameters: InputParameters | None = None
    data: TensorData | None = None
    """Nested or flat."""


class OutputParameters(_Parameters):
    """Parameters of an output."""

    binary_data: bool | None = None
    """Overrides `binary_data_output`."""
    classification: int | None = None
    """Refused: regression has no classes."""
    shared_memory_region: Any = None
    """Refused: this service shares no memory with clients."""


class InferOutput(_Request):
    """An output that is asked for."""

    name: str
    parameters: OutputParameters | None = None


class InferParameters(_Parameters):
    """Parameters of a request."""

    binary_data_output: bool | None = None
    """Outputs come behind the JSON, as bytes."""


class InferRequest(_Request):
    """Tensors to predict from."""

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    id: str | None = None
    """Comes back in the answer."""
    model_name: str | None = None
    """Not read, like `model_version`: the address says which."""
    model_version: str | None = None
    parameters: InferParameters | None = None
    inputs: Annotated[
        list[InferInput], Field(min_length=1, max_length=MAX_FEATURES, fail_fast=True)
    ]
    outputs: Annotated[list[InferOutput], Field(max_length=64)] | None = None
    """All of them where none is named."""


class InferResponseOutput(Response):
    """One tensor of an answer."""

    name: str
    datatype: Datatype
    shape: list[int]
    parameters: dict[str, int] | None = None
    """`binary_data_size`, where its bytes are behind the JSON; left out otherwise."""
    data: list[float] | None = None
    """Flat, row-major; left out where the bytes are behind the JSON."""


class InferResponse(Response):
    """The predictions, and the one version that made all of them."""

    model_name: str
    model_version: str
    id: str | None = None
    """As given; left out otherwise."""
    outputs: list[InferResponseOutput]


class HealthV2Response(Response):
    """Whether this process can answer predictions."""

    live: bool
    ready: bool
    error: str | None = None
    """Why it is not ready; left out when it is."""


class ModelReadyResponse(Response):
    """A model, or a version, that is ready."""

    name: str
    ready: bool


class ServerResponse(Response):
    """What speaks here."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Response):
    """An input or output; -1 is any size."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadataResponse(Response):
    """A model as clients have to speak to it."""

    name: str
    versions: list[str]
    """All that may be asked for by number."""
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigTensor(Response):
    """An input or output in the words of Triton's `ModelConfig`."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfigResponse(Response):
    """As much of Triton's `ModelConfig` as means something here."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    """0: the first dimension of each tensor is the batch."""
    input: list[ConfigTensor]
    output: list[ConfigTensor]


class IndexRequest(_Request):
    """What to list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": True}, {}]})

    ready: bool = False
    """Only versions that are ready."""
    repository_name: str | None = None
    """Not read: there is one repository."""


class IndexEntry(Response):
    """A version."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class DurationStatistic(Response):
    """How often, and how long altogether."""

    count: int
    ns: int


class InferenceStatistics(Response):
    """`queue`, `compute_input` and `compute_output` are not measured apart: their count is 0."""

    success: DurationStatistic
    fail: DurationStatistic
    queue: DurationStatistic
    compute_input: DurationStatistic
    compute_infer: DurationStatistic
    compute_output: DurationStatistic
    cache_hit: DurationStatistic
    cache_miss: DurationStatistic


class VersionStatistics(Response):
    """What a version has done since the service started, by any protocol."""

    name: str
    version: str
    last_inference: int
    """In milliseconds since 1970; 0 for never."""
    inference_count: int
    """Rows."""
    execution_count: int
    """Forward passes."""
    inference_stats: InferenceStatistics
    response_stats: dict[str, Any]
    batch_stats: list[Any]
    memory_usage: list[Any]


class StatisticsResponse(Response):
    """Statistics by version."""

    model_stats: list[VersionStatistics]


class ProblemV2Response(ProblemResponse):
    """A problem, with the member that the protocol asks for."""

    error: str
    """The same words as `detail`."""
