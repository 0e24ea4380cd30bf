"""The exercises of the tutorial, solved with `ml`: every step on its own, in the tutorial's order.

    PYTHONPATH=. python docs/exercises/solution.py [FOLDER]

FOLDER (`models` where none is given) receives the state_dict and three pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from ml.artifact import load_state_dict, save_state_dict
from ml.data.line import load_line
from ml.data.split import Parts, split_table
from ml.data.table import Table
from ml.device import pick_device
from ml.models.linear import LinearRegressionModelV2
from ml.plots import draw_fit, draw_learning_curves, draw_split, render
from ml.spec.data import LineSpec
from ml.spec.training import SgdSpec, SplitSpec
from ml.training.loop import Budget, Loop, Part, Point
from ml.training.losses import build_loss
from ml.training.optimizers import build_optimizer

SEED = 42
EPOCHS = 300
EVALUATE_EVERY = 20
NAME = "exercise_model.pth"


def main(folder: Path) -> None:
    """All six exercises; the files go to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    device = pick_device("auto")
    print(f"Using device: {device}")

    line, parts = make_data(folder)
    model = build(device)
    loop = prepare(model, parts, device)
    train(loop, folder)
    print("Learned params:", model.state_dict())
    print(f"Ground truth -> weight={line.weight}, bias={line.bias}")
    y_preds = infer(model, parts, device, folder)
    save_and_load(model, parts, device, folder / NAME, y_preds)


def make_data(folder: Path) -> tuple[LineSpec, Parts]:
    """1 資料建立. 100 points of y = 0.3 x + 0.9, split 80/20 in their order, and drawn."""
    line = LineSpec(weight=0.3, bias=0.9, start=0.0, end=1.0, step=0.01)
    table = load_line(line, SEED)  # X = torch.arange(start, end, step).unsqueeze(dim=1)
    parts = split_table(table, SplitSpec(train=0.8), SEED)  # train_split = int(0.8 * len(X))
    print(f"{len(table)} points: {len(parts.train)} to train, {len(parts.test)} to test")
    (folder / "exercise_split.svg").write_bytes(render(draw_split(parts), "svg"))
    return line, parts


def build(device: torch.device) -> LinearRegressionModelV2:
    """2 建模. A subclass of nn.Module around nn.Linear(1, 1), and a look at its state_dict."""
    torch.manual_seed(SEED)
    model = LinearRegressionModelV2().to(device)
    print("Before training:", model.state_dict())
    return model


def prepare(model: LinearRegressionModelV2, parts: Parts, device: torch.device) -> Loop:
    """3 損失與最佳化器. nn.L1Loss() and torch.optim.SGD(model.parameters(), lr=0.01)."""
    return Loop(
        model=model,
        loss=build_loss("l1"),
        optimizer=build_optimizer(SgdSpec(lr=0.01), model.parameters()),
        train=_on(device, parts.train),
        validation=_on(device, parts.validation),
        test=_on(device, parts.test),
        budget=Budget(
            epochs=EPOCHS,
            evaluate_every=EVALUATE_EVERY,
            batch_size=None,
            early_stopping=None,
            shuffle_seed=SEED,
        ),
    )


def train(loop: Loop, folder: Path) -> None:
    """4 訓練. 300 epochs; every 20th, both losses are printed.

    Each turn of the loop is the tutorial's: forward pass, loss, zero_grad, backward, step; then
    `model.eval()` and `torch.inference_mode()` for the test loss.
    """
    torch.manual_seed(SEED)
    points: list[Point] = []
    for progress in loop:
        point = progress.point
        # The library adds a point for the last epoch; the exercise asks for every 20th.
        if point is not None and point.epoch % EVALUATE_EVERY == 0:
            points.append(point)
            print(
                f"Epoch: {point.epoch} | Train loss: {point.train_loss:.8f} "
                f"| Test loss: {point.test_loss:.8f}"
            )
    losses = {
        "train": [point.train_loss for point in points],
        "test": [point.test_loss for point in points if point.test_loss is not None],
    }
    curves = draw_learning_curves([point.epoch for point in points], losses, "l1")
    (folder / "exercise_curves.svg").write_bytes(render(curves, "svg"))


def infer(
    model: LinearRegressionModelV2, parts: Parts, device: torch.device, folder: Path
) -> torch.Tensor:
    """5 推論與視覺化. Predict the test rows, and draw them on the CPU beside the data."""

    def predict(x_NF: torch.Tensor) -> torch.Tensor:
        model.eval()
        with torch.inference_mode():
            y_NT: torch.Tensor = model(x_NF.to(device))
        return y_NT.cpu()  # a picture is drawn on the CPU

    (folder / "exercise_predictions.svg").write_bytes(render(draw_fit(parts, predict), "svg"))
    y_preds = predict(parts.test.x_NF)
    print(f"Predictions: {y_preds[0].item():.4f} to {y_preds[-1].item():.4f}")
    return y_preds


def save_and_load(
    model: LinearRegressionModelV2,
    parts: Parts,
    device: torch.device,
    path: Path,
    y_preds: torch.Tensor,
) -> None:
    """6 存檔與讀檔. Save the state_dict, load it into a new instance, compare each element."""
    save_state_dict(model, path)  # torch.save(obj=model.state_dict(), f=path)
    print(f"Saved {path.name}")
    loaded_model = LinearRegressionModelV2()
    load_state_dict(loaded_model, path)  # torch.load(path, weights_only=True), checked
    loaded_model.to(device)
    loaded_model.eval()
    with torch.inference_mode():
        loaded_preds = loaded_model(parts.test.x_NF.to(device)).cpu()
    equal = loaded_preds == y_preds
    print(f"Equal predictions: {int(equal.sum())} of {len(equal)}")
    if not bool(equal.all()):
        sys.exit("the loaded model predicts something else")


def _on(device: torch.device, part: Table) -> Part:
    return Part(part.x_NF.to(device), part.y_NT.to(device))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "models"))
