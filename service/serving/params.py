"""The parameters of a version in raw units, beside the truth and the least-squares optimum."""

from __future__ import annotations

from typing import Any

from ml.artifact import Bundle
from ml.models.build import line_of
from service.entities import ModelVersion
from service.schemas.models import LeastSquaresResponse, LineResponse, ParamsResponse


def params_of(version: ModelVersion, bundle: Bundle, with_state: bool = True) -> ParamsResponse:
    """What `/params` answers; without the state_dict, which may hold millions of numbers, where it
    is not wanted."""
    raw = bundle.raw_state()
    line = line_of(bundle.architecture, raw) if bundle.units == "raw" else None
    shown = None if line is None else line_response(line.weight_TF.tolist(), line.bias_T.tolist())
    truth, optimum = version.truth, version.least_squares
    return ParamsResponse(
        model=version.model,
        version=version.number,
        architecture=bundle.architecture.model_dump(mode="json"),
        feature_names=list(bundle.feature_names),
        target_names=list(bundle.target_names),
        categories={name: list(words) for name, words in bundle.categories.items()},
        columns=list(bundle.column_names),
        state_dict={key: values.tolist() for key, values in raw.items()} if with_state else None,
        units=bundle.units,
        weight=None if shown is None else shown.weight,
        bias=None if shown is None else shown.bias,
        truth=None if truth is None else LineResponse(**truth),
        least_squares=None if optimum is None else _least_squares(optimum),
    )


def _least_squares(optimum: dict[str, Any]) -> LeastSquaresResponse:
    line = line_response(optimum["weight_TF"], optimum["bias_T"])
    return LeastSquaresResponse(weight=line.weight, bias=line.bias, gap=optimum.get("gap"))


def line_response(weight_TF: list[list[float]], bias_T: list[float]) -> LineResponse:
    """Numbers for one feature and target, a list for several features, lists for targets."""
    if len(weight_TF) > 1:
        return LineResponse(weight=weight_TF, bias=bias_T)
    weights = weight_TF[0]
    return LineResponse(weight=weights[0] if len(weights) == 1 else weights, bias=bias_T[0])
