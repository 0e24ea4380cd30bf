"""What `POST /models/{model}/versions` takes; what it answers is among `models`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ml.spec.base import Name
from ml.spec.exchange import ImportSpec
from service.schemas.models import PromoteImport

MAX_TENSORS = 10_000
"""A `state_dict` has a few for each layer."""


class ImportRequest(ImportSpec):
    """A state_dict as `/params` shows it, with what it does not say of itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "architecture": {"kind": "linear"},
                    "state_dict": {"linear_layer.weight": [[0.7]], "linear_layer.bias": [0.3]},
                }
            ]
        }
    )

    state_dict: Annotated[dict[Name, Any], Field(min_length=1, max_length=MAX_TENSORS)]
    """Each tensor as a number or as nested lists of numbers."""


class ImportQuery(BaseModel):
    """What is said of a file beside the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    architecture: Annotated[str, Field(max_length=10_000)] | None = None
    """Of a bare safetensors file: a kind, such as `linear`, or JSON with its fields, such as
    `{"kind": "mlp", "hidden": [64, 64], "activation": "tanh"}`."""
    promote: PromoteImport = "if_first"
    """Whether it becomes the active version. `if_first`: where none is active, or only the line
    that the service trained by itself on its first start."""
