"""What a request to train may cost; the bound and the figure stand in the message."""

from __future__ import annotations

import math

from service.errors import Fault, InvalidRequestError
from service.schemas.training import TrainRequest
from service.settings import Settings


def check_limits(request: TrainRequest, settings: Settings) -> None:
    """Price a training before it is queued.

    Raises:
        InvalidRequestError: it is too large; names every bound that it breaks.
    """
    rows, architecture = request.data.rows, request.architecture
    parameters = architecture.parameter_count(request.data.feature_count, request.data.target_count)
    trained_rows = request.split.counts(rows).train
    batches = 1 if request.batch_size is None else _ceil(trained_rows, request.batch_size)
    hidden_at = "/hidden" if "hidden" in type(architecture).model_fields else ""
    bounds = [
        # A dataset was held to its own bound when it was sent.
        ("/data", "rows", 0 if request.data.source == "dataset" else rows, settings.max_rows),
        ("/batch_size", "rows of a batch", request.batch_size or 0, settings.max_rows),
        ("/epochs", "epochs", request.epochs, settings.max_epochs),
        ("/epochs", "steps (epochs × batches)", request.epochs * batches, settings.max_steps),
        (
            "/epochs",
            "work (epochs × rows × parameters)",
            request.epochs * trained_rows * parameters,
            settings.max_work,
        ),
        (
            f"/architecture{hidden_at}",
            "hidden units",
            architecture.hidden_units,
            settings.max_hidden_units,
        ),
        ("/architecture", "parameters", parameters, settings.max_parameters),
        (
            "/evaluate_every",
            "points of the curve (epochs / evaluate_every)",
            _ceil(request.epochs, request.evaluate_every),
            settings.max_curve_points,
        ),
    ]
    faults = [
        Fault(pointer, f"{_words(figure)} {what} asked, at most {bound:,} allowed")
        for pointer, what, figure, bound in bounds
        if figure > bound
    ]
    if faults:
        raise InvalidRequestError("the training is larger than this service allows", faults)


def _ceil(whole: int, part: int) -> int:
    # In whole numbers: a client may ask for 10^400 epochs, which no float holds.
    return -(-whole // part)


def _words(figure: int) -> str:
    # Python writes no number of more than 4300 digits, and nobody wants to read one.
    return f"{figure:,}" if figure < 10**18 else f"some 10^{math.log10(figure):.0f}"
