"""A bundle as one graph from raw x to raw y, for `torch.export` and ONNX.

Both take ``x``, float64 of shape (rows, columns), and give ``y``, float64 of shape (rows, targets),
for any number of rows. Columns are those of `Bundle.column_names`: a category has one for each of
its values. Scaling is part of the graph, in float64 as in `ml.predictor`; the net is in float32.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as library_version
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from ml.artifact import Bundle, frozen_module
from ml.errors import ExchangeError
from ml.spec.plugins import in_one_line

INPUT, OUTPUT, ROWS = "x", "y", "rows"

OPSET = 20
"""Of ONNX 1.15, from 2023: the first in which GELU is one operator."""

ONNX_NEEDS = ("onnx", "onnxscript", "onnxruntime")
ONNX_EXTRA = "pip install 'refit[onnx]'"


class RawGraph(nn.Module):
    """The module of a bundle with its scaling before and behind it."""

    x_mean_F: torch.Tensor
    x_std_F: torch.Tensor
    y_mean_T: torch.Tensor
    y_std_T: torch.Tensor

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.net = frozen_module(bundle)
        self.is_scaled = bundle.scaling is not None
        for name, values in (bundle.scaling.tensors() if bundle.scaling else {}).items():
            self.register_buffer(name, values)

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        if not self.is_scaled:
            y_NT: torch.Tensor = self.net(x_NF.float()).double()
            return y_NT
        x_NF = (x_NF - self.x_mean_F) / self.x_std_F
        y_NT = self.net(x_NF.float()).double()
        return y_NT * self.y_std_T + self.y_mean_T


def trace(bundle: Bundle) -> torch.export.ExportedProgram:
    """The graph, for any number of rows.

    Raises:
        ExchangeError: `torch.export` cannot follow the architecture's forward.
    """
    graph = RawGraph(bundle).eval()
    # Two rows: one would be taken for a constant.
    x_NF = torch.zeros(2, len(bundle.column_names), dtype=torch.float64)
    try:
        with _in_silence():
            program = torch.export.export(
                graph, (x_NF,), dynamic_shapes={"x_NF": {0: torch.export.Dim(ROWS)}}
            )
    except Exception as error:
        # Whatever a person's own forward makes of being traced.
        kind = bundle.architecture.kind
        message = f"torch.export cannot follow {kind}: {in_one_line(error)}"
        raise ExchangeError(message) from error
    for node in program.graph.nodes:
        # Where each line of code stood on this machine is nobody else's business.
        node.meta.pop("stack_trace", None)
    return program


def write_pt2(program: torch.export.ExportedProgram, bundle: Bundle, path: Path) -> None:
    """The file that `torch.export.load` reads."""
    told = {"refit.json": json.dumps(_about(bundle))}
    with _in_silence():
        torch.export.save(program, path, extra_files=told)


def write_onnx(program: torch.export.ExportedProgram, bundle: Bundle, path: Path) -> None:
    """An ONNX file of one piece, weights inside.

    Raises:
        ExchangeError: the libraries for it are not installed, or ONNX has no operator for
            something in the architecture.
    """
    if lacking := [name for name in ONNX_NEEDS if find_spec(name) is None]:
        raise ExchangeError(f"{', '.join(lacking)} not installed: {ONNX_EXTRA}")
    try:
        with _in_silence():
            converted = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamic_shapes={"x_NF": {0: ROWS}},
                verbose=False,
            )
    except Exception as error:
        kind = bundle.architecture.kind
        raise ExchangeError(f"ONNX has no form for {kind}: {in_one_line(error)}") from error
    assert converted is not None
    model = converted.model
    model.producer_name, model.producer_version = "Refit", library_version("refit")
    model.metadata_props.update({key: _text(value) for key, value in _about(bundle).items()})
    converted.save(path)


def _about(bundle: Bundle) -> dict[str, object]:
    return {
        "architecture": bundle.architecture.model_dump(mode="json"),
        "columns": list(bundle.column_names),
        "targets": list(bundle.target_names),
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Without what the exporters say of themselves: torch's deprecated calls of torch, and that
    torchvision is not there."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
