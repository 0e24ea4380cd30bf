"""The pictures: what they show, that nothing is clipped, and that the bytes are the same."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ml.data.sources import load_table
from ml.data.split import Parts, split_table
from ml.data.table import Table
from ml.errors import OverflowedError
from ml.plots import COLORS, MAX_ROWS, draw_fit, draw_learning_curves, draw_split, render
from ml.spec.data import PointsSpec
from ml.spec.dataset import DatasetSpec
from tests.ml.making import points, spec

PNG = b"\x89PNG\r\n\x1a\n"


def _parts(**asked: Any) -> Parts[Table]:
    whole = spec(**asked)
    assert not isinstance(whole.data, DatasetSpec)
    return split_table(load_table(whole.data, whole.seed), whole.split, whole.seed)


def _table_parts(rows: int, features: int, targets: int, **data: Any) -> Parts[Table]:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(rows, features)), random.normal(size=(rows, targets))
    whole = points(x.tolist(), y.tolist(), split={"train": 0.6, "validation": 0.2})
    assert isinstance(whole.data, PointsSpec)
    return split_table(load_table(whole.data.model_copy(update=data), 0), whole.split, 0)


def _double(x_NF: torch.Tensor) -> torch.Tensor:
    return 2 * x_NF[:, :1]


def _dots(figure: Figure, panel: int = 0) -> dict[str, PathCollection]:
    """The scatters of a panel by their labels."""
    found = figure.axes[panel].collections
    return {str(dots.get_label()): dots for dots in found if isinstance(dots, PathCollection)}


def _places(dots: PathCollection) -> list[list[float]]:
    places: list[list[float]] = np.asarray(dots.get_offsets(), dtype=np.float64).tolist()
    return places


def _color(dots: PathCollection) -> str:
    return to_hex(tuple(np.asarray(dots.get_facecolor())[0].tolist()))


def _legend(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend() or figure.legends[0]
    return [text.get_text() for text in legend.get_texts()]


def _assert_nothing_clipped(figure: Figure) -> None:
    """Every mark of ink lies on the page, with a rim to spare."""
    render(figure, "png")  # settles the layout
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
        box = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    assert box.x0 > 0
    assert box.y0 > 0
    assert box.x1 < width
    assert box.y1 < height


# ---- split and fit ----


def test_split_shows_the_parts_in_the_tutorials_colours() -> None:
    parts = _parts()
    figure = draw_split(parts)
    dots = _dots(figure)
    assert list(dots) == _legend(figure) == ["Training data", "Testing data"]
    for label, part, color in (
        ("Training data", parts.train, COLORS["train"]),
        ("Testing data", parts.test, COLORS["test"]),
    ):
        wanted = torch.cat([part.x_NF, part.y_NT], dim=1).double().tolist()
        assert _places(dots[label]) == wanted
        assert _color(dots[label]) == color
    assert tuple(figure.get_size_inches()) == (10, 7)


def _hue(color: str) -> str:
    """The strongest of red, green and blue."""
    channels = {"red": color[1:3], "green": color[3:5], "blue": color[5:7]}
    return max(channels, key=lambda name: int(channels[name], 16))


def test_colours_are_the_tutorials() -> None:
    assert [_hue(COLORS[part]) for part in ("train", "test", "predictions")] == [
        "blue",
        "green",
        "red",
    ]
    assert len(set(COLORS.values())) == 4


def test_split_shows_a_validation_part_in_a_fourth_colour() -> None:
    dots = _dots(draw_split(_parts(split={"train": 0.6, "validation": 0.2})))
    assert list(dots) == ["Training data", "Validation data", "Testing data"]
    assert _color(dots["Validation data"]) == COLORS["validation"]


def test_fit_shows_the_predictions_of_the_test_rows() -> None:
    parts = _parts()
    figure = draw_fit(parts, _double)
    dots = _dots(figure)
    assert list(dots) == _legend(figure) == ["Training data", "Testing data", "Predictions"]
    x_N1 = parts.test.x_NF
    assert _places(dots["Predictions"]) == torch.cat([x_N1, 2 * x_N1], dim=1).double().tolist()
    assert _color(dots["Predictions"]) == COLORS["predictions"]


def test_fit_shows_the_predictions_of_the_training_rows_where_there_is_no_test_row() -> None:
    parts = _parts(split={"train": 1})
    dots = _dots(draw_fit(parts, _double))
    assert list(dots) == ["Training data", "Predictions"]
    assert len(_places(dots["Predictions"])) == len(parts.train) == 50


@pytest.mark.parametrize(("features", "targets"), [(3, 1), (1, 2), (2, 3)])
def test_fit_of_several_columns_is_predicted_against_actual(features: int, targets: int) -> None:
    parts = _table_parts(50, features, targets)

    def predict(x_NF: torch.Tensor) -> torch.Tensor:
        return torch.stack([x_NF.sum(dim=1) + target for target in range(targets)], dim=1)

    figure = draw_fit(parts, predict)
    assert len(figure.axes) == targets
    for target in range(targets):
        dots = _dots(figure, target)
        assert list(dots) == ["Training data", "Validation data", "Testing data"]
        wanted = torch.stack([parts.test.y_NT[:, target], predict(parts.test.x_NF)[:, target]], 1)
        assert _places(dots["Testing data"]) == wanted.tolist()
        assert _color(dots["Testing data"]) == COLORS["test"]
        diagonal = figure.axes[target].lines[0]
        assert diagonal.get_slope() == 1  # type: ignore[attr-defined]
        across, up = diagonal.get_xy1()  # type: ignore[attr-defined]
        assert across == up
    name = parts.train.target_names[0]
    assert figure.axes[0].get_xlabel() == f"Actual {name}"
    assert figure.axes[0].get_ylabel() == f"Predicted {name}"


def test_split_of_several_columns_has_a_panel_for_each_pair() -> None:
    figure = draw_split(_table_parts(50, 2, 2))
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert labels == [("x1", "y1"), ("x2", "y1"), ("x1", "y2"), ("x2", "y2")]


def test_more_panels_than_are_legible_are_left_out_and_counted() -> None:
    figure = draw_split(_table_parts(20, 30, 1))
    assert len(figure.axes) == 9
    assert figure.get_suptitle() == "Training and testing data (9 of 30)"


def test_axes_are_named_after_the_columns() -> None:
    figure = draw_split(_table_parts(20, 1, 1, feature_names=("area",), target_names=("price",)))
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("area", "price")


def test_an_error_of_the_model_goes_through() -> None:
    def refuse(x_NF: torch.Tensor) -> torch.Tensor:
        raise OverflowedError("too much", 3)

    for parts in (_parts(), _table_parts(20, 2, 1)):
        with pytest.raises(OverflowedError):
            draw_fit(parts, refuse)


# ---- many rows, odd values, odd names ----


def test_a_hundred_thousand_rows_stay_small_and_quick() -> None:
    parts = _parts(data={"step": 1e-5, "noise": 0.1}, split={"shuffle": True})
    started = time.monotonic()
    figure = draw_fit(parts, _double)
    svg = render(figure, "svg")
    seconds = time.monotonic() - started
    assert seconds < 10  # 0.4 s on an idle core
    assert len(svg) < 2_000_000
    assert b"<image" in svg  # as single circles, it would be 8 MB
    dots = _dots(figure)
    label = f"Training data ({MAX_ROWS:,} of 80,000 rows)"
    assert len(_places(dots[label])) == MAX_ROWS
    assert len(_places(dots["Testing data"])) == 20_000
    # Thinned evenly: the first and the last row are there.
    kept = np.asarray(_places(dots[label]))[:, 0]
    assert kept[0] == parts.train.x_NF[0].item()
    assert kept[-1] == parts.train.x_NF[-1].item()
    assert len(np.unique(kept)) == MAX_ROWS


def test_few_rows_are_single_shapes_and_larger_than_many() -> None:
    few, many = draw_split(_parts()), draw_split(_parts(data={"step": 1e-4}))
    assert b"<image" not in render(few, "svg")
    size_of_few, size_of_many = (
        _dots(figure)["Training data"].get_sizes()[0] for figure in (few, many)
    )
    assert size_of_few > 5 * size_of_many > 5
    # In the legend, both can be seen.
    legend = many.axes[0].get_legend()
    assert legend is not None
    for handle in legend.legend_handles:
        assert isinstance(handle, PathCollection)
        assert handle.get_sizes()[0] == 30


@pytest.mark.parametrize(
    "data",
    [
        {"source": "points", "x": [1.0], "y": [2.0]},
        {"source": "points", "x": [5.0] * 10, "y": [5.0] * 10},
        {"source": "points", "x": [-3.4e38, 3.4e38], "y": [3.4e38, -3.4e38]},
        {"source": "points", "x": [1e-300, 2e-300], "y": [1e-40, 2e-40]},
        {"source": "points", "x": [1e9, 1e9 + 1e-3, 1e9 + 2e-3], "y": [0.0, 1.0, 2.0]},
        {"source": "points", "x": [[5.0, 1.0]] * 4, "y": [5.0] * 4},
    ],
)
def test_odd_values_are_drawn_without_a_warning(data: dict[str, Any]) -> None:
    parts = _parts(data=data, split={"train": 0.9 if len(data["x"]) > 1 else 1})
    assert len(render(draw_split(parts), "png")) > 1000
    assert len(render(draw_fit(parts, lambda x_NF: x_NF[:, :1] * 0.5), "svg")) > 1000


NAMES = [
    "price in $ per $ unit",
    "$\\frac{broken",
    "房屋面積",
    "<script>alert('&')</script>",
    "two\nlines\tand \x00\x1b controls",
    "long " * 25,
    "\U0001f3e0 \u202e\ud7ff",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_as_it_is(name: str) -> None:
    figure = draw_split(_table_parts(20, 1, 1, feature_names=(name,), target_names=("y",)))
    _assert_nothing_clipped(figure)
    page = ElementTree.fromstring(render(figure, "svg"))
    texts = ["".join(element.itertext()) for element in page.iter() if element.tag.endswith("text")]
    wanted = "".join(letter if letter.isprintable() else " " for letter in name)
    shown = wanted if len(wanted) <= 90 else wanted[:89] + "…"
    assert " ".join(shown.split()) in [" ".join(text.split()) for text in texts]
    assert not any(element.tag.endswith("script") for element in page.iter())


@pytest.mark.parametrize(("features", "targets"), [(1, 1), (2, 1), (4, 2), (3, 3)])
def test_nothing_is_clipped(features: int, targets: int) -> None:
    names = {
        "feature_names": tuple(f"feature {i} " + "of a long name " * 6 for i in range(features)),
        "target_names": tuple(f"target {i} " + "of a long name " * 6 for i in range(targets)),
    }
    parts = _table_parts(40, features, targets, **names)
    _assert_nothing_clipped(draw_split(parts))
    _assert_nothing_clipped(draw_fit(parts, lambda x_NF: 1e6 * x_NF[:, :1].repeat(1, targets)))


# ---- learning curves ----

EPOCHS = [0, 100, 200, 300]


def test_curves_have_one_line_a_part_in_its_colour() -> None:
    losses = {
        "train": [0.5, 0.3, 0.2, 0.1],
        "validation": [0.6, 0.4, 0.3, 0.2],
        "test": [0.7, 0.5, 0.4, 0.3],
    }
    figure = draw_learning_curves(EPOCHS, losses, "l1")
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Training and test loss curves"
    assert _legend(figure) == ["Train loss", "Validation loss", "Test loss"]
    for line, (part, values) in zip(axes.lines, losses.items(), strict=True):
        assert np.asarray(line.get_xdata()).tolist() == EPOCHS
        assert np.asarray(line.get_ydata()).tolist() == values
        assert line.get_color() == COLORS[part]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epochs", "Loss (mean absolute error)")
    _assert_nothing_clipped(figure)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 0.1, 0.011], "linear"),  # not quite two decades
        ([1.0, 0.1, 0.0099], "log"),
        ([1e20, 1.0, 1e-20], "log"),
        ([1.0, 1e-9, 0.0], "linear"),  # 0 has no logarithm
        ([0.0, 0.0, 0.0], "linear"),
    ],
)
def test_the_scale_is_logarithmic_over_more_than_two_decades(
    values: list[float], scale: str
) -> None:
    figure = draw_learning_curves([0, 1, 2], {"train": values, "test": [1.0] * 3}, "mse")
    assert figure.axes[0].get_yscale() == scale
    assert len(render(figure, "png")) > 1000


def test_a_single_point_can_be_seen() -> None:
    with_point = draw_learning_curves([0], {"train": [0.5]}, "l1")
    assert with_point.axes[0].lines[0].get_marker() == "o"
    many = draw_learning_curves(list(range(500)), {"train": [0.5] * 500}, "l1")
    assert many.axes[0].lines[0].get_marker() in (None, "None")


def test_an_unknown_part_or_an_uneven_length_is_refused() -> None:
    with pytest.raises(KeyError):
        draw_learning_curves([0], {"dev": [1.0]}, "l1")
    with pytest.raises(ValueError, match="same first dimension"):
        draw_learning_curves([0, 1], {"train": [1.0]}, "l1")


# ---- bytes ----


def _pictures() -> list[Figure]:
    return [
        draw_split(_parts()),
        draw_fit(_parts(data={"step": 1e-4}), _double),
        draw_fit(_table_parts(30, 2, 2), lambda x_NF: x_NF),
        draw_learning_curves(EPOCHS, {"train": [1, 0.1, 0.01, 0.001]}, "huber"),
    ]


def test_the_same_figure_gives_the_same_bytes() -> None:
    for figure, same in zip(_pictures(), _pictures(), strict=True):
        svg, png = render(figure, "svg"), render(figure, "png")
        # Whatever was rendered before, and in whatever order.
        assert (render(same, "png"), render(same, "svg")) == (png, svg)
        assert render(figure, "svg") == svg
        assert png.startswith(PNG)
        page = ElementTree.fromstring(svg)
        assert page.tag == "{http://www.w3.org/2000/svg}svg"
        assert page.find(".//{http://purl.org/dc/elements/1.1/}date") is None


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "import sys\nfrom ml.plots import draw_learning_curves, render\n"
        "figure = draw_learning_curves([0, 1], {'train': [1.0, 0.5]}, 'l1')\n"
        "sys.stdout.buffer.write(render(figure, 'svg'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    )
    figure = draw_learning_curves([0, 1], {"train": [1.0, 0.5]}, "l1")
    assert done.stdout == render(figure, "svg")


class _Slow(Figure):
    """A figure that notices when another is rendered at the same time."""

    rendering = 0

    def savefig(self, *arguments: Any, **options: Any) -> None:
        _Slow.rendering += 1
        assert _Slow.rendering == 1
        time.sleep(0.02)
        _Slow.rendering -= 1


def test_one_figure_is_rendered_at_a_time() -> None:
    # The settings of matplotlib are global: a second thread would see, or undo, those of the first.
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(render, [_Slow() for _ in range(4)], ["svg"] * 4)) == [b""] * 4


def test_threads_draw_what_one_thread_draws() -> None:
    def draw(number: int) -> tuple[bytes, bytes]:
        figure = draw_learning_curves([0, 1], {"train": [1.0, number / 10]}, "l1")
        return render(figure, "svg"), render(figure, "png")

    alone = [draw(number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == alone
