"""Training modules that are not built in: replayed where they promise it, plain where not."""

from __future__ import annotations

import pytest
import torch

from ml.spec.architecture import ArchitectureBase
from ml.training import stepper
from ml.training.fit import Fit, Fitted
from ml.training.replay import Recording, record
from tests.ml import nets
from tests.ml.making import CPU, points

ROWS = torch.linspace(-2, 2, 40)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each recording that was tried could be made."""
    tries: list[bool] = []

    def noted(*arguments: object) -> Recording:
        tries.append(False)
        made: Recording = record(*arguments)  # type: ignore[arg-type]
        tries[-1] = True
        return made

    monkeypatch.setattr(stepper, "record", noted)
    return tries


def trained(architecture: ArchitectureBase, **fields: object) -> Fitted:
    """Trained on a sine. The spec of the module is put in past the union, which knows only what is
    installed."""
    fields = {"optimizer": {"kind": "adam"}, "epochs": 300, **fields}
    asked = points(ROWS.tolist(), ROWS.sin().tolist(), **fields)
    fit = Fit(asked.model_copy(update={"architecture": architecture}), CPU)
    for _ in fit:
        pass
    return fit.result()


@pytest.mark.parametrize("fields", [{}, {"batch_size": 8, "epochs": 40}])
def test_replayed_steps_of_a_persons_module_give_the_same_bits(
    recorded: list[bool], fields: dict[str, object]
) -> None:
    replayed = trained(nets.ReplayedSpec(), **fields)
    assert recorded
    assert all(recorded)
    tries = len(recorded)
    plain = trained(nets.PlainSpec(), **fields)
    assert len(recorded) == tries, "it does not promise to repeat itself"
    assert replayed.curve == plain.curve
    state, wanted = replayed.bundle.state, plain.bundle.state
    assert all(torch.equal(state[key], wanted[key]) for key in wanted)
    assert int(state["steps"]) > 100, "buffers are kept up as well"


@pytest.mark.parametrize("optimizer", [{"kind": "sgd", "lr": 0.1}, {"kind": "adam"}])
@pytest.mark.parametrize("spec", [nets.BranchesSpec(), nets.FrozenSpec(), nets.UnusedSpec()])
def test_what_cannot_be_replayed_is_stepped_plainly(
    recorded: list[bool],
    spec: ArchitectureBase,
    optimizer: dict[str, object],
) -> None:
    fitted = trained(spec, optimizer=optimizer)
    assert not any(recorded)
    assert fitted.metrics["train_rmse"] is not None
    assert fitted.metrics["train_rmse"] < 0.5


def test_parameters_that_nothing_moves_stay(recorded: list[bool]) -> None:
    state = trained(
        nets.UnusedSpec(), optimizer={"kind": "adamw", "weight_decay": 0.5}
    ).bundle.state
    assert torch.equal(state["spare"], torch.ones(5))
