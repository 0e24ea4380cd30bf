"""`python -m ml`: the tutorial from the command line.

torch and matplotlib are imported by the commands, not by this module: `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml.errors import DeviceUnavailableError, MLError
from ml.spec.base import Number
from ml.spec.data import LineSpec
from ml.spec.model import ARCHITECTURES
from ml.spec.training import LossName, SplitSpec, TrainingSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ml.training.fit import Fit, Fitted

if TYPE_CHECKING:
    Architecture = str
else:
    # What is installed is known at run time only.
    Architecture = Literal[tuple(ARCHITECTURES)]
MAX_VERIFIED_ROWS = 100_000
Optimizer = Literal["sgd", "adam", "adamw", "lbfgs"]


def build_app() -> typer.Typer:
    """The command line, with its two commands."""
    app = typer.Typer(
        help="Train a PyTorch regression model on a line, step by step as in the tutorial.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command()(train)
    # A negative x looks like an option; with this it reaches the parser of numbers.
    app.command(context_settings={"ignore_unknown_options": True})(predict)
    return app


def _option(help_text: str, default: object) -> Any:
    """An option that is absent unless given, and whose help shows the default of the spec."""
    return typer.Option(help=help_text, show_default=str(default))


_LINE, _SPLIT = LineSpec(), SplitSpec()


def train(
    weight: Annotated[float | None, _option("Weight of the line: its slope.", _LINE.weight)] = None,
    bias: Annotated[float | None, _option("Bias of the line: y at x = 0.", _LINE.bias)] = None,
    start: Annotated[float | None, _option("The first x.", _LINE.start)] = None,
    end: Annotated[float | None, _option("The x to stop before.", _LINE.end)] = None,
    step: Annotated[float | None, _option("From one x to the next.", _LINE.step)] = None,
    noise: Annotated[float | None, _option("Deviation of noise on y.", _LINE.noise)] = None,
    train: Annotated[float | None, _option("Share of the rows to train on.", _SPLIT.train)] = None,
    validation: Annotated[float | None, _option("Share to validate on.", _SPLIT.validation)] = None,
    shuffle: Annotated[bool | None, _option("Shuffle before the split.", "no")] = None,
    architecture: Annotated[
        Architecture | None, _option("Two nn.Parameter, nn.Linear, an MLP, …", "linear")
    ] = None,
    loss: Annotated[LossName | None, _option("The loss to make small.", "l1")] = None,
    optimizer: Annotated[Optimizer | None, _option("The optimizer.", "sgd")] = None,
    lr: Annotated[float | None, _option("Learning rate.", "0.01; 1 for lbfgs")] = None,
    epochs: Annotated[int | None, _option("Passes over the rows.", "1000; 50 for lbfgs")] = None,
    batch_size: Annotated[int | None, _option("Rows of one step.", "all")] = None,
    evaluate_every: Annotated[int | None, _option("Epochs between points.", "epochs / 10")] = None,
    seed: Annotated[int | None, _option("Seed of every random number.", 42)] = None,
    standardize: Annotated[bool | None, _option("Scale x and y to train.", "no")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("models"),
) -> None:
    """Train a model on the line y = weight * x + bias, and save it with its pictures."""
    with _one_line_errors():
        spec = TrainingSpec.model_validate(
            _given(
                data=_given(weight=weight, bias=bias, start=start, end=end, step=step, noise=noise),
                split=_given(train=train, validation=validation, shuffle=shuffle),
                architecture=_given(kind=architecture),
                loss=loss,
                optimizer=_given(kind=optimizer, lr=lr),
                epochs=epochs,
                batch_size=batch_size,
                evaluate_every=evaluate_every,
                seed=seed,
                standardize=standardize,
            )
        )
        _train(spec, device, output, Console())


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL.pth", help="A saved state_dict.")],
    x: Annotated[list[str], typer.Argument(metavar="X...", help="One or several x.")],
    architecture: Annotated[Architecture, typer.Option(help="The model it is of.")] = "linear",
) -> None:
    """Print y for each x, by a model that `train` saved."""
    with _one_line_errors():
        asked = {"x": [_number(text) for text in x]}
        x_N = TypeAdapter(dict[str, list[Number]]).validate_python(asked)["x"]
        import torch

        from ml.artifact import Bundle, load_state_dict
        from ml.models.build import build_model
        from ml.predictor import Predictor

        spec = ARCHITECTURES[architecture].model_validate({})
        module = build_model(spec, features=1, targets=1)
        load_state_dict(module, model)
        bundle = Bundle(spec, ("x",), ("y",), None, dict(module.state_dict()))
        y_N1 = Predictor(bundle, torch.device("cpu")).predict(torch.tensor(x_N)[:, None])
        for y in y_N1[:, 0].tolist():
            typer.echo(f"{y:.8g}")


def _train(spec: TrainingSpec, device_name: str, output: Path, console: Console) -> None:
    from ml.device import pick_device
    from ml.models.build import can_fold
    from ml.training.fit import Fit

    if spec.standardize and not can_fold(spec.architecture):
        kind = spec.architecture.kind
        raise MLError(f"model.pth takes raw x, and {kind} cannot fold a scaling: --no-standardize")
    device = pick_device(device_name)
    console.print(f"Using device: {device}")
    run = Fit(spec, device)
    _turn(run)
    fitted = run.result()
    console.print(_losses(fitted))
    if (parameters := _parameters(fitted)) is not None:
        console.print(parameters)
    _save(run, fitted, output, console)


def _turn(run: Fit) -> None:
    """Train to the end, with a bar on stderr: stdout holds the results alone."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Epoch {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("train loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=run.spec.epochs, loss="…")
        for progress in run:
            bar.update(task, completed=progress.epochs_done)
            if progress.point is not None:
                bar.update(task, loss=f"{progress.point.train_loss:.6g}")


def _losses(fitted: Fitted) -> Table:
    """The points of the curve, a row each."""
    table = Table(title="Losses")
    table.add_column("Epoch", justify="right")
    curves = _curves(fitted)
    for part in curves:
        table.add_column(f"{part.capitalize()} loss", justify="right")
    for point, *losses in zip(fitted.curve, *curves.values(), strict=True):
        table.add_row(str(point.epoch), *(f"{loss:.8f}" for loss in losses))
    return table


def _curves(fitted: Fitted) -> dict[str, list[float]]:
    """The losses of each part that has rows, one a point of the curve."""
    curves = {
        part: [getattr(point, f"{part}_loss") for point in fitted.curve]
        for part in ("train", "validation", "test")
    }
    return {part: losses for part, losses in curves.items() if losses[0] is not None}


def _parameters(fitted: Fitted) -> Table | None:
    """What was learned beside the ground truth; None where the model is not linear."""
    from ml.models.build import line_of

    line = line_of(fitted.bundle.architecture, fitted.bundle.raw_state())
    truth, best = fitted.truth, fitted.least_squares
    if line is None or truth is None or best is None:
        return None
    table = Table("", "Learned", "Ground truth", "Least squares", title="Parameters")
    for name, *values in (
        ("weight", line.weight_TF.item(), truth.weight, best.weight_TF.item()),
        ("bias", line.bias_T.item(), truth.bias, best.bias_T.item()),
    ):
        table.add_row(name, *(f"{value:.6g}" for value in values))
    return table


def _save(run: Fit, fitted: Fitted, output: Path, console: Console) -> None:
    from ml.artifact import save_state_dict
    from ml.models.build import build_model
    from ml.plots import draw_fit, draw_learning_curves, draw_split, render
    from ml.predictor import Predictor

    model = build_model(run.spec.architecture, features=1, targets=1)
    model.load_state_dict(fitted.bundle.raw_state())
    path = output / "model.pth"
    save_state_dict(model, path)
    epochs = [point.epoch for point in fitted.curve]
    figures = {
        "split.svg": draw_split(run.parts),
        "predictions.svg": draw_fit(run.parts, Predictor(fitted.bundle, run.device).predict),
        "curves.svg": draw_learning_curves(epochs, _curves(fitted), run.spec.loss),
    }
    for name, figure in figures.items():
        (output / name).write_bytes(render(figure, "svg"))
    places = f"Saved model.pth, {', '.join(figures)} in {escape(str(output))}"
    console.print(places, soft_wrap=True)
    _verify(model, path, run.spec, run.parts.held_out.sample(MAX_VERIFIED_ROWS).x_NF.float())
    console.print("Loaded into a new instance: every prediction is equal")


def _verify(model: nn.Module, path: Path, spec: TrainingSpec, x_NF: torch.Tensor) -> None:
    """Load ``path`` into a new instance and compare, as the tutorial does.

    Raises:
        MLError: a prediction differs.
    """
    import torch

    from ml.artifact import load_state_dict
    from ml.models.build import build_model

    loaded = build_model(spec.architecture, features=1, targets=1)
    load_state_dict(loaded, path)
    model.eval()
    loaded.eval()
    with torch.inference_mode():
        if not bool((loaded(x_NF) == model(x_NF)).all()):
            raise MLError(f"{path} does not predict what was trained")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given: the spec fills in the rest."""
    return {name: value for name, value in options.items() if value is not None}


def _number(text: str) -> float | str:
    """The number that ``text`` spells, or ``text`` itself for validation to name."""
    try:
        return float(text)
    except ValueError:
        return text


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn an expected error into one line: exit code 2 for a bad option, 1 for a failed run."""
    try:
        yield
    except ValidationError as error:
        raise _exit("; ".join(_readable(error)), 2) from None
    except DeviceUnavailableError as error:
        raise _exit(f"device: {error}", 2) from None
    except (MLError, OSError) as error:
        raise _exit(str(error), 1) from None


def _readable(error: ValidationError) -> Iterator[str]:
    """``field: message`` for each error; the tags of unions say nothing to a reader."""
    tags = {"line", *ARCHITECTURES, *get_args(Optimizer)}
    for one in error.errors():
        place = ".".join(str(part) for part in one["loc"] if part not in tags)
        yield f"{place}: {one['msg']}"


def _exit(message: str, code: int) -> typer.Exit:
    typer.echo(f"Error: {message}", err=True)
    return typer.Exit(code)
