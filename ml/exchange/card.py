"""MODEL_CARD.md: what a model is, what it came from, what it cannot do, and how to load it.

After Mitchell et al., "Model Cards for Model Reporting" (2019). Every Python block in it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ml.artifact import Bundle
from ml.exchange.names import ARTIFACT, ONNX, PT2, PTH
from ml.exchange.sample import draw
from ml.models.build import line_of
from ml.predictor import Predictor

MAX_SHOWN = 20
"""Columns, features or categories that are listed one by one."""

_CLASSES = {
    "parameters": """class LinearRegressionModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(1))
        self.bias = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return self.weights * x + self.bias


model = LinearRegressionModel()""",
    "linear": """class LinearRegressionModelV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear_layer = nn.Linear({features}, {targets})

    def forward(self, x):
        return self.linear_layer(x)


model = LinearRegressionModelV2()""",
}
"""The classes of the PyTorch workflow tutorial."""


def write_card(bundle: Bundle, version: Mapping[str, Any], written: Sequence[str]) -> str:
    """The card; ``written`` are the files of the model that are there to be loaded."""
    name = f"{version.get('model', 'model')}, version {version.get('version', '?')}"
    parts = [
        f"# {name}",
        _what_it_is(bundle),
        _where_from(version),
        _how_good(version),
        _limits(bundle, version),
        _how_to_load(bundle, version, written),
    ]
    return "\n\n".join(parts) + "\n"


def _what_it_is(bundle: Bundle) -> str:
    numbers = sum(values.numel() for values in bundle.state.values())
    lines = [
        f"A PyTorch regression model of the architecture {_code(bundle.architecture.kind)} with "
        f"{numbers:,} numbers, written by Refit.",
        "",
        "| | |",
        "|---|---|",
        f"| architecture | {_code(bundle.architecture.model_dump(mode='json'))} |",
        f"| takes | {_listed(bundle.feature_names)} |",
        f"| gives | {_listed(bundle.target_names)} |",
    ]
    line = line_of(bundle.architecture, bundle.raw_state()) if bundle.units == "raw" else None
    if line is not None and line.weight_TF.numel() <= MAX_SHOWN:
        for target, weights, bias in zip(
            bundle.target_names, line.weight_TF.tolist(), line.bias_T.tolist(), strict=True
        ):
            terms = [
                f"{weight:.6g} × {column}"
                for weight, column in zip(weights, bundle.column_names, strict=True)
            ]
            formula = f"{target} = {' + '.join([*terms, f'{bias:.6g}'])}"
            lines.append(f"| formula | {_code(formula)} |")
    for feature, words in bundle.categories.items():
        lines.append(f"| values of {_code(feature)} | {_listed(words)} |")
    return "\n".join(lines)


def _where_from(version: Mapping[str, Any]) -> str:
    spec, environment = version.get("spec", {}), version.get("environment", {})
    data = spec.get("data", {})
    if version.get("origin") == "import":
        told = "It was imported: what it was trained on is not known here."
        return f"## Data and training\n\n{told}"
    rows = environment.get("rows") or {}
    # Rows themselves stay where they are.
    shown = {key: value for key, value in data.items() if key not in ("x", "y")}
    table = {
        "data": shown,
        "sha256 of the rows": version.get("data_sha256"),
        "rows": rows,
        "loss": spec.get("loss"),
        "optimizer": spec.get("optimizer"),
        "epochs": spec.get("epochs"),
        "seed": spec.get("seed"),
        "standardized": spec.get("standardize"),
        "trained at": version.get("created_at"),
        "by": {key: environment[key] for key in ("refit", "torch", "device") if key in environment},
    }
    lines = ["## Data and training", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_code(value)} |" for name, value in table.items() if value is not None]
    return "\n".join(lines)


def _how_good(version: Mapping[str, Any]) -> str:
    metrics: Mapping[str, float | None] = version.get("metrics", {})
    if not metrics:
        return "## Metrics\n\nNone are known."
    lines = [
        "## Metrics",
        "",
        "Errors are in the units of the targets.",
        "",
        "| metric | value |",
        "|---|---|",
    ]
    lines += [
        f"| {_code(name)} | {'–' if value is None else f'{value:.6g}'} |"
        for name, value in metrics.items()
    ]
    return "\n".join(lines)


def _limits(bundle: Bundle, version: Mapping[str, Any]) -> str:
    lines = ["## Limits", ""]
    lines += [f"- {_prose(warning)}" for warning in version.get("warnings", [])]
    if bundle.range is None:
        lines.append("- What range of inputs it was trained on is not known.")
    else:
        ranges = zip(
            bundle.column_names,
            bundle.range.x_min_F.tolist(),
            bundle.range.x_max_F.tolist(),
            strict=True,
        )
        shown = [f"{_code(name)} {low:.6g} to {high:.6g}" for name, low, high in ranges]
        if len(shown) > MAX_SHOWN:
            shown = [*shown[:MAX_SHOWN], "…"]
        lines.append(f"- It has seen only: {', '.join(shown)}. Beyond that it guesses.")
    if bundle.categories:
        lines.append("- A category with a value that is not listed above cannot be predicted for.")
    lines.append("- The net computes in float32: seven digits, and fewer where large terms cancel.")
    lines.append("- It gives a number and no measure of its uncertainty.")
    return "\n".join(lines)


def _how_to_load(bundle: Bundle, version: Mapping[str, Any], written: Sequence[str]) -> str:
    x_NF = draw(bundle)[:1]
    y_NT = Predictor(bundle, torch.device("cpu")).predict(x_NF)
    x, y = x_NF.tolist(), f"[{', '.join(f'{value:.6g}' for value in y_NT[0].tolist())}]"
    parts = ["## How to load it"]
    if bundle.categories:
        columns = _listed(bundle.column_names)
        note = "Outside Refit a category is given as one column of 0 or 1 for each of its values"
        parts.append(f"{note}: {columns}.")
    if ARTIFACT in written:
        parts.append(
            "In another Refit, with the same predictions to the last bit:\n\n"
            f"```console\n$ refit import {ARTIFACT}\n```"
        )
    if PT2 in written:
        parts.append(_block(f"With torch alone (`{PT2}`), raw units in and out:", _PT2, x, y))
    if ONNX in written:
        parts.append(_block(f"With ONNX Runtime (`{ONNX}`), raw units in and out:", _ONNX, x, y))
    made = _CLASSES.get(bundle.architecture.kind)
    if PTH in written and made is not None:
        made = made.format(features=len(bundle.column_names), targets=len(bundle.target_names))
        told = f"As the PyTorch tutorial loads it (`{PTH}`), raw units in and out:"
        parts.append(_block(told, _PTH.replace("<model>", made), x, y))
    elif PTH in written:
        told = f"`{PTH}` is the `state_dict` of the module, in {bundle.units} units."
        parts.append(told)
    return "\n\n".join(parts)


_PT2 = """import torch

model = torch.export.load("model.pt2").module()
print(model(torch.tensor(<x>, dtype=torch.float64)))  # <y>"""

_ONNX = """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
print(session.run(["y"], {"x": np.array(<x>, dtype=np.float64)}))  # <y>"""

_PTH = """import torch
from torch import nn


<model>
model.load_state_dict(torch.load("state_dict.pth", weights_only=True))
with torch.inference_mode():
    print(model(torch.tensor(<x>)))  # <y>"""


def _block(told: str, code: str, x: list[list[float]], y: str) -> str:
    return f"{told}\n\n```python\n{code.replace('<x>', json.dumps(x)).replace('<y>', y)}\n```"


def _listed(names: Sequence[str]) -> str:
    shown = [_code(name) for name in names[:MAX_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - MAX_SHOWN:,} more" * (len(names) > MAX_SHOWN))


def _code(value: object) -> str:
    """In a code span and a cell of a table: a name may hold any character."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{_plain(text).replace('`', 'ˋ')}`"


def _prose(text: str) -> str:
    """As a sentence in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", _plain(text))


def _plain(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown.replace("|", "¦")
