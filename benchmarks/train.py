"""How long training takes, beside the plain loop and other libraries: ratios in one run.

    python benchmarks/train.py [--rounds 5] [--rows 1000000] [--json FILE]

Each round runs every contestant once, in turn, so that a machine whose speed drifts slows all of
them; the table shows medians and their ratio to the plain loop. Libraries that are not installed
are left out by name (`pip install -r benchmarks/requirements.txt`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ml.models.build import build_model
from ml.spec.model import LinearSpec, MlpSpec
from ml.spec.training import TrainingSpec
from ml.training.fit import Fit
from ml.training.loop import Budget, Loop
from ml.training.parts import Part

BATCH = 1024
SHUFFLED = "plain loop over shuffled tensors"
"""The contestant that differs from Refit in the step alone."""

Contestant = Callable[[], object]


def tutorial_plain() -> None:
    """The tutorial's loop as it is written there, 1,000 epochs of the line."""
    x_N1 = torch.arange(0, 1, 0.02).unsqueeze(dim=1)
    y_N1 = 0.7 * x_N1 + 0.3
    torch.manual_seed(42)
    model = nn.Linear(1, 1)
    loss_fn = nn.L1Loss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(42)
    for _ in range(1000):
        model.train()
        loss = loss_fn(model(x_N1[:40]), y_N1[:40])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.inference_mode():
            loss_fn(model(x_N1[40:]), y_N1[40:])


def tutorial_refit() -> None:
    """The same through `ml.training`, the recording of the step included."""
    for _ in Fit(TrainingSpec(), torch.device("cpu")):
        pass


class Epoch:
    """One epoch over many rows in batches of 1,024, shuffled, with Adam and MSE."""

    def __init__(self, rows: int, spec: LinearSpec | MlpSpec) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x_NF = torch.randn(rows, 16, generator=generator)
        self.y_N1 = self.x_NF @ torch.randn(16, 1, generator=generator)
        self.x_numpy, self.y_numpy = self.x_NF.numpy(), self.y_N1.numpy()
        self.spec = spec

    def _model(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = build_model(self.spec, 16, 1)
        return model, torch.optim.Adam(model.parameters(), lr=0.01)

    def plain_data_loader(self) -> None:
        """The plain loop over a `DataLoader`."""
        model, optimizer = self._model()
        loss_fn = nn.MSELoss()
        rows = TensorDataset(self.x_NF, self.y_N1)
        for x_BF, y_B1 in DataLoader(rows, batch_size=BATCH, shuffle=True):
            loss = loss_fn(model(x_BF), y_B1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def plain_blocks(self) -> None:
        """The plain loop over slices of shuffled tensors: what the step itself gains."""
        model, optimizer = self._model()
        loss_fn = nn.MSELoss()
        order_N = torch.randperm(len(self.x_NF))
        x_NF, y_N1 = self.x_NF.index_select(0, order_N), self.y_N1.index_select(0, order_N)
        for x_BF, y_B1 in zip(torch.split(x_NF, BATCH), torch.split(y_N1, BATCH), strict=True):
            loss = loss_fn(model(x_BF), y_B1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def refit(self) -> None:
        """`ml.training.loop`."""
        model, optimizer = self._model()
        empty = Part(self.x_NF[:0], self.y_N1[:0])
        budget = Budget(1, 1, BATCH, None, 0)
        train = Part(self.x_NF, self.y_N1)
        for _ in Loop(model, nn.MSELoss(), optimizer, train, empty, empty, budget):
            pass

    def scikit_learn(self) -> None:
        """`SGDRegressor` (one row a step) or `MLPRegressor` (Adam, the same batches)."""
        from sklearn.linear_model import SGDRegressor
        from sklearn.neural_network import MLPRegressor

        if isinstance(self.spec, LinearSpec):
            model = SGDRegressor(max_iter=1, tol=None)
        else:
            model = MLPRegressor(hidden_layer_sizes=self.spec.hidden, batch_size=BATCH, max_iter=1)
        model.fit(self.x_numpy, self.y_numpy[:, 0])

    def skorch(self) -> None:
        """`NeuralNetRegressor` with the same module, optimizer and batches."""
        from skorch import NeuralNetRegressor

        model, _ = self._model()
        net = NeuralNetRegressor(
            model,
            optimizer=torch.optim.Adam,
            lr=0.01,
            max_epochs=1,
            batch_size=BATCH,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )
        net.fit(self.x_numpy, self.y_numpy)

    def lightning(self) -> None:
        """`Trainer` over a `DataLoader`, logging and checkpoints off."""
        import lightning as pl

        made, optimizer = self._model()

        class Module(pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.model = made

            def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
                return nn.functional.mse_loss(self.model(batch[0]), batch[1])

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return optimizer

        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        rows = TensorDataset(self.x_NF, self.y_N1)
        trainer.fit(Module(), DataLoader(rows, batch_size=BATCH, shuffle=True))


def races(rows: int) -> dict[str, dict[str, Contestant]]:
    """Contestants of each race, the baseline first."""
    line: dict[str, Contestant] = {"plain loop": tutorial_plain, "Refit": tutorial_refit}
    found = {"the tutorial's line, 1,000 epochs": line}
    for name, spec in (("linear", LinearSpec()), ("MLP 16-64-64-1", MlpSpec())):
        epoch = Epoch(rows, spec)
        contestants: dict[str, Contestant] = {
            "plain loop over a DataLoader": epoch.plain_data_loader,
            SHUFFLED: epoch.plain_blocks,
            "Refit": epoch.refit,
        }
        others = {
            "sklearn": ("scikit-learn", epoch.scikit_learn),
            "skorch": ("skorch", epoch.skorch),
            "lightning": ("Lightning", epoch.lightning),
        }
        for module, (label, contestant) in others.items():
            if importlib.util.find_spec(module):
                contestants[label] = contestant
            else:
                print(f"{label} is not installed and left out", file=sys.stderr)
        found[f"{name}, one epoch of {rows:,} rows × 16, batches of {BATCH:,}"] = contestants
    return found


def run(contestants: dict[str, Contestant], rounds: int) -> dict[str, float]:
    """Median seconds of each contestant, one uncounted round first."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            began = time.perf_counter()
            contestant()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    results = {}
    for race, contestants in races(asked.rows).items():
        medians = results[race] = run(contestants, asked.rounds)
        baseline = next(iter(medians.values()))
        print(f"\n{race} (torch {torch.__version__}, one thread, {asked.rounds} rounds)\n")
        print("| | seconds | times as fast |\n|---|---|---|")
        for name, median in medians.items():
            print(f"| {name} | {median:.3f} | {baseline / median:.1f} |")
        if SHUFFLED in medians:
            gain = medians[SHUFFLED] / medians["Refit"]
            print(f"\nThe step itself: {gain:.2f} times as fast as the {SHUFFLED}.")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
