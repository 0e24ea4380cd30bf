"""Scatter of train, test and predicted points, and learning curves, as figures.

The pictures of the tutorial without `pyplot`: a `Figure` belongs to its caller, nothing is global
and no screen is needed, so threads of a web process may draw. The colours are the tutorial's: train
blue, test green, predictions red.

Axes: N rows, F features, T targets.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ml.data.split import Parts
from ml.data.table import Rows, Table

Predict = Callable[[torch.Tensor], torch.Tensor]
"""``x_NF -> y_NT`` in raw units, both on the CPU."""

FIGURE_INCHES = (10.0, 7.0)
"""The tutorial's ``figsize``."""

COLORS = {
    "train": "#1f56d8",
    "validation": "#c58a1b",
    "test": "#1c8a3c",
    "predictions": "#dc2626",
}
DATA_LABELS = {
    "train": "Training data",
    "validation": "Validation data",
    "test": "Testing data",
    "predictions": "Predictions",
}
LOSS_NAMES = {"l1": "mean absolute error", "mse": "mean squared error", "huber": "Huber loss"}

MAX_ROWS = 20_000
"""Rows of a part that are drawn: a picture of 1000 × 700 pixels shows no more than that."""
MAX_VECTOR_ROWS = 2_000
"""Rows of a part that an SVG keeps as single circles (some 100 bytes each); more become an image
inside it."""
MAX_PANELS = 9
"""Panels of one figure: more would leave none of them legible."""

_RENDER_LOCK = threading.Lock()


def draw_split(parts: Parts[Rows]) -> Figure:
    """The rows of each part; one panel for every pair of a feature and a target."""
    train = parts.train
    pairs = [
        (feature, target)
        for target in range(len(train.target_names))
        for feature in range(len(train.column_names))
    ]
    figure, panels = _new_figure("Training and testing data", len(pairs))
    for axes, (feature, target) in zip(panels, pairs, strict=False):
        _scatter_data(axes, parts, feature, target)
        _finish(axes, train.column_names[feature], train.target_names[target])
    _add_legend(figure)
    return figure


def draw_fit(parts: Parts[Rows], predict: Predict) -> Figure:
    """What the model answers, beside what it should.

    One feature and one target: the tutorial's scatter, with the predictions of the test rows, or
    of the training rows where there is no test row. Otherwise predicted against actual values, a
    panel for each target; a perfect prediction lies on the diagonal.

    Raises:
        MLError: whatever ``predict`` raises.
    """
    if len(parts.train.column_names) == len(parts.train.target_names) == 1:
        return _draw_predictions(parts, predict)
    return _draw_predicted_against_actual(parts, predict)


def draw_learning_curves(
    epochs: Sequence[int], losses: Mapping[str, Sequence[float]], loss_name: str
) -> Figure:
    """One line a part over ``epochs``; ``losses`` has the keys `train`, `validation`, `test`.

    Raises:
        KeyError: ``losses`` holds another key.
        ValueError: a part has not one loss for each epoch.
    """
    figure, (axes,) = _new_figure("Training and test loss curves", 1)
    for part, values in losses.items():
        axes.plot(
            epochs,
            values,
            color=COLORS[part],
            label=f"{part.capitalize()} loss",
            linewidth=2,
            marker="o" if len(epochs) <= 30 else None,  # a lone point would draw no line
            markersize=4,
        )
    if _spans_decades(value for values in losses.values() for value in values):
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True))
    _finish(axes, "Epochs", f"Loss ({LOSS_NAMES.get(loss_name, loss_name)})")
    _add_legend(figure)
    return figure


def render(figure: Figure, kind: Literal["svg", "png"]) -> bytes:
    """The picture as a file: the same bytes for the same figure. Any thread may call it."""
    buffer = io.BytesIO()
    settings = mpl.rc_context(
        {
            "svg.hashsalt": "refit",  # else the ids of an SVG are random
            "svg.fonttype": "none",  # text stays text: read aloud, found, in any script
        }
    )
    # The settings of matplotlib and the filters of warnings are global: one thread at a time.
    with _RENDER_LOCK, settings, warnings.catch_warnings():
        # A name in a script that the font lacks is a box in a PNG and right in an SVG.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        if figure.get_layout_engine() is not None:
            # Each drawing would move the axes a little on; the first decides for all.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=100, metadata=metadata)
    return buffer.getvalue()


def _draw_predictions(parts: Parts[Rows], predict: Predict) -> Figure:
    figure, (axes,) = _new_figure("Predictions beside the data", 1)
    _scatter_data(axes, parts, 0, 0)
    asked, _ = _thin(parts.test if len(parts.test) else parts.train)
    _scatter(axes, "predictions", asked.x_NF[:, 0], predict(asked.x_NF)[:, 0])
    _finish(axes, parts.train.column_names[0], parts.train.target_names[0])
    _add_legend(figure)
    return figure


def _draw_predicted_against_actual(parts: Parts[Rows], predict: Predict) -> Figure:
    names = parts.train.target_names
    figure, panels = _new_figure("Predicted against actual values", len(names))
    drawn = [(part, *_thin(table)) for part, table in parts.named().items()]
    predictions = [predict(table.x_NF) for _, table, _ in drawn]
    for target, axes in enumerate(panels):
        for (part, table, note), pred_NT in zip(drawn, predictions, strict=True):
            _scatter(axes, part, table.y_NT[:, target], pred_NT[:, target], note)
        # Through any point with slope 1; it does not take part in choosing the limits.
        anchor = float(drawn[0][1].y_NT[0, target])
        axes.axline((anchor, anchor), slope=1, color="#6b7280", linewidth=1, zorder=1)
        _finish(axes, f"Actual {names[target]}", f"Predicted {names[target]}")
    _add_legend(figure)
    return figure


def _scatter_data(axes: Axes, parts: Parts[Rows], feature: int, target: int) -> None:
    for part, table in parts.named().items():
        drawn, note = _thin(table)
        _scatter(axes, part, drawn.x_NF[:, feature], drawn.y_NT[:, target], note)


def _thin(rows: Rows) -> tuple[Table, str]:
    """At most `MAX_ROWS` rows, evenly spread, and the words that own up to it."""
    note = f" ({MAX_ROWS:,} of {len(rows):,} rows)" if len(rows) > MAX_ROWS else ""
    return rows.sample(MAX_ROWS), note


def _scatter(
    axes: Axes, part: str, across_N: torch.Tensor, up_N: torch.Tensor, note: str = ""
) -> None:
    rows = len(across_N)
    # 30 square points (the tutorial's 4 is hard to see) for up to 50 rows, 1.5 for 20,000.
    size = 30 / math.sqrt(max(rows, 50) / 50)
    axes.scatter(
        across_N.numpy(),
        up_N.numpy(),
        # A prediction that is right lies on its row: smaller, it leaves a green rim to see.
        s=size * 0.4 if part == "predictions" else size,
        alpha=0.9 if rows <= 1_000 else 0.5,
        color=COLORS[part],
        linewidths=0,
        label=DATA_LABELS[part] + note,
        rasterized=rows > MAX_VECTOR_ROWS,
        zorder=3 if part == "predictions" else 2,
    )


def _new_figure(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of at most `MAX_PANELS` panels, as square a grid of them as can be."""
    shown = min(panels, MAX_PANELS)
    # Constrained layout makes room for every label, so that none is clipped.
    layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1)
    figure = Figure(figsize=FIGURE_INCHES, layout=layout, facecolor="white")
    columns = math.ceil(math.sqrt(shown))
    grid = figure.subplots(math.ceil(shown / columns), columns, squeeze=False).flatten().tolist()
    for unused in grid[shown:]:
        unused.remove()
    note = "" if shown == panels else f" ({shown} of {panels})"
    figure.suptitle(title + note, fontsize=15)
    return figure, grid[:shown]


def _finish(axes: Axes, across: str, up: str) -> None:
    """Labels, and a light grid behind the points."""
    place = axes.get_subplotspec()
    rows, columns = (1, 1) if place is None else place.get_gridspec().get_geometry()
    # Names come from outside: "$" in them is no mathematics. 90 letters fit under the width of a
    # figure, 60 beside its height.
    axes.set_xlabel(_printable(across, 90 // columns), fontsize=12, parse_math=False)
    axes.set_ylabel(_printable(up, 60 // rows), fontsize=12, parse_math=False)
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9ca3af")
    axes.tick_params(which="both", color="#9ca3af", labelcolor="#374151")


def _add_legend(figure: Figure) -> None:
    """One legend: inside a single panel, below several (they all show the same parts)."""
    first = figure.axes[0]
    if len(figure.axes) == 1:
        legend = first.legend(prop={"size": 12}, framealpha=0.9, edgecolor="#e5e7eb")
    else:
        handles, labels = first.get_legend_handles_labels()
        legend = figure.legend(
            handles, labels, loc="outside lower center", ncols=len(labels), frameon=False
        )
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_alpha(1)
            handle.set_sizes([30])  # however small the points themselves are


def _printable(name: str, longest: int) -> str:
    """``name`` on one line, without control characters (XML has none), cut to what fits."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _spans_decades(values: Iterable[float]) -> bool:
    """Whether a logarithmic scale serves: all above zero, and more than two decades apart."""
    values = list(values)
    return bool(values) and min(values) > 0 and max(values) / min(values) > 100
