"""What the service knows -> wire types of the Open Inference Protocol v2."""

from __future__ import annotations

from service.entities import ListedVersion
from service.observability.metrics import Totals
from service.schemas.v2 import (
    ConfigTensor,
    DurationStatistic,
    IndexEntry,
    InferenceStatistics,
    ModelConfigResponse,
    ModelMetadataResponse,
    TensorMetadata,
    VersionStatistics,
)
from service.serving.pool import Served
from service.serving.tensors import TensorSpec, inputs_of, outputs_of

PLATFORM = "refit_pytorch"
"""<project>_<format>, as the protocol has it."""


def metadata(served: Served, versions: list[ListedVersion]) -> ModelMetadataResponse:
    """A model as clients have to speak to it."""
    bundle = served.predictor.bundle
    return ModelMetadataResponse(
        name=served.model,
        versions=[str(version.number) for version in versions],
        platform=PLATFORM,
        inputs=[_tensor(spec) for spec in inputs_of(bundle)],
        outputs=[_tensor(spec) for spec in outputs_of(bundle)],
    )


def _tensor(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=spec.datatype, shape=list(spec.shape))


def config(served: Served) -> ModelConfigResponse:
    """A model in the words of Triton's `ModelConfig`."""
    bundle = served.predictor.bundle
    return ModelConfigResponse(
        name=served.model,
        platform=PLATFORM,
        backend="refit",
        max_batch_size=0,
        input=[_config_tensor(spec) for spec in inputs_of(bundle)],
        output=[_config_tensor(spec) for spec in outputs_of(bundle)],
    )


def _config_tensor(spec: TensorSpec) -> ConfigTensor:
    kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return ConfigTensor(name=spec.name, data_type=f"TYPE_{kind}", dims=list(spec.shape))


def index_entry(version: ListedVersion, served: Served | None) -> IndexEntry:
    """A version in the index; ``served`` is what answers for its model in this process."""
    if not version.active:
        state, reason = "UNAVAILABLE", "not active: loaded when it is asked for by its number"
    elif served is None or served.version != version.number:
        state, reason = "LOADING", "active, and not loaded yet; see /health"
    else:
        state, reason = "READY", ""
    return IndexEntry.model_validate(
        {"name": version.model, "version": str(version.number), "state": state, "reason": reason}
    )


def version_statistics(version: ListedVersion, totals: Totals) -> VersionStatistics:
    """What a version has done."""
    success = DurationStatistic(count=totals.requests, ns=round(totals.seconds * 1e9))
    none = DurationStatistic(count=0, ns=0)
    return VersionStatistics(
        name=version.model,
        version=str(version.number),
        last_inference=round(totals.last * 1000),
        inference_count=totals.rows,
        execution_count=totals.passes,
        inference_stats=InferenceStatistics(
            success=success,
            fail=DurationStatistic(count=totals.errors, ns=round(totals.failed_seconds * 1e9)),
            queue=none,
            compute_input=none,
            compute_infer=success,
            compute_output=none,
            cache_hit=none,
            cache_miss=none,
        ),
        response_stats={},
        batch_stats=[],
        memory_usage=[],
    )
