"""params, versions, activate, rollback"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import DEFAULT_URL, AsJson, DataDir, Model, Url, Wait
from service.commands.output import DASH, ago, number, show_json, show_table, text
from service.commands.reach import fail, reach

if TYPE_CHECKING:
    from service.schemas.models import DeploymentResponse, Numbers, ParamsResponse

WAIT_SECONDS = 60.0
"""The longest that the service honours unless told otherwise (`REFIT_MAX_WAIT_SECONDS`)."""

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]
Version = Annotated[int, typer.Argument(min=1, help="Number of the version.")]


def params(
    model: Model = "default",
    version: Annotated[
        int | None, typer.Option("--version", "-v", min=1, help="Another than the active one.")
    ] = None,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the parameters, beside the truth and the least-squares optimum where there are such."""
    with reach(url, data_dir) as client:
        told = client.params(model, version)
    if as_json:
        show_json(told)
        return
    architecture = told.architecture["kind"]
    typer.echo(f"version {told.version} of {told.model}, {architecture}")
    if told.weight is None or told.bias is None:
        layers = [[name, _shape(values)] for name, values in (told.state_dict or {}).items()]
        show_table(("parameter", "shape"), layers)
    else:
        _show_line(told)


def _show_line(told: ParamsResponse) -> None:
    """Weights and bias of a linear model, a row for each, by target where there are several."""
    names = _names(told)
    beside = (told, told.truth, told.least_squares)
    columns = [
        [DASH] * len(names) if one is None else _values(one.weight, one.bias) for one in beside
    ]
    show_table(("", "learned", "truth", "least squares"), list(zip(names, *columns, strict=True)))


def _names(told: ParamsResponse) -> list[str]:
    """What each number of `_values` is."""
    if len(told.target_names) == 1:
        return [*(f"weight {column}" for column in told.columns), "bias"]
    pairs = [(target, column) for target in told.target_names for column in told.columns]
    weights = [f"weight {target} by {column}" for target, column in pairs]
    return [*weights, *(f"bias {target}" for target in told.target_names)]


def _values(weight: Numbers | None, bias: Numbers | None) -> list[str]:
    return [*map(number, _flat(weight)), *map(number, _flat(bias))]


def _flat(numbers: Numbers | None) -> list[float]:
    if numbers is None:
        return []
    if isinstance(numbers, list):
        return [value for inner in numbers for value in _flat(inner)]
    return [numbers]


def _shape(values: object) -> str:
    sizes = []
    while isinstance(values, list):
        sizes.append(str(len(values)))
        values = values[0] if values else None
    return " × ".join(sizes) or "1"


def versions(
    model: Model = "default",
    limit: Limit = 20,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of a model, newest first; a star stands at the active one."""
    with reach(url, data_dir) as client:
        found = list(islice(client.versions(model), limit))
    if as_json:
        show_json(found)
        return
    headings = ("version", "active", "architecture", "test mae", "test r2", "warnings", "created")
    rows = [
        [
            text(one.version),
            "*" if one.active else "",
            text(one.spec["architecture"]["kind"]),
            number(one.metrics.get("test_mae")),
            number(one.metrics.get("test_r2")),
            text(len(one.warnings)),
            ago(one.created_at),
        ]
        for one in found
    ]
    show_table(headings, rows)


def activate(
    version: Version,
    model: Model = "default",
    wait: Wait = False,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a version the active one."""
    with reach(url, data_dir) as client:
        seconds = WAIT_SECONDS if wait else None
        _moved(client.activate(version, model, wait=seconds), wait, as_json)


def rollback(
    model: Model = "default",
    wait: Wait = False,
    url: Url = DEFAULT_URL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the version that was active before."""
    with reach(url, data_dir) as client:
        _moved(client.rollback(model, wait=WAIT_SECONDS if wait else None), wait, as_json)


def _moved(told: DeploymentResponse, waited: bool, as_json: bool) -> None:
    if as_json:
        show_json(told)
    else:
        typer.echo(
            f"version {told.version} of {told.model} is active; "
            f"{told.acknowledged} of {told.workers} workers serve it"
        )
    if waited and told.failures:
        raise fail("; ".join(told.failures))
    if waited and told.acknowledged < told.workers:
        raise fail(f"not every worker serves it after {WAIT_SECONDS:g} s")
