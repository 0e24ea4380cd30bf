"""What can go wrong in `ml`, free of torch and of HTTP.

    MLError                     every error that `ml` raises on purpose
     +- DataError               the rows cannot be used as asked (empty split, ragged rows, ...)
     +- DeviceUnavailableError  the device asked for does not exist here
     +- DivergedError           training left the finite numbers, or all sense
     +- CancelledError          the caller closed the run before its end
     +- InputError              rows given for prediction do not fit the model; carries the position
     |   +- OverflowedError     the answer for a row is beyond float32
     +- ArtifactError           an artifact cannot be used
         +- CorruptArtifactError      bytes, names, shapes or checksums differ from the manifest
         +- MissingArtifactError      there is no such artifact

Each class has a stable ``code`` that a program may compare; the message is for people and says
what was got, what was wanted, and where.
"""

from __future__ import annotations


class MLError(Exception):
    """Every error that `ml` raises on purpose."""

    code = "ml_error"


class DataError(MLError):
    """The rows cannot be used as asked."""

    code = "invalid_data"


class DeviceUnavailableError(MLError):
    """The device asked for does not exist on this machine."""

    code = "device_unavailable"


class DivergedError(MLError):
    """A loss, a metric or a parameter is no longer a finite number, or the loss is absurd.

    ``what`` says which, where; the remedy is added to the message.
    """

    code = "diverged"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: lower the learning rate (optimizer.lr) or set standardize to true"
        )


class CancelledError(MLError):
    """The run was closed before its end."""

    code = "cancelled"


class InputError(MLError):
    """Rows given for prediction do not fit the model.

    ``row`` is the first row at fault, counted from 0, or None where the whole input is.
    """

    code = "invalid_input"

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class OverflowedError(InputError):
    """The prediction for a row is not a finite float32."""

    code = "prediction_overflow"


class ArtifactError(MLError):
    """An artifact cannot be used."""

    code = "artifact_error"


class CorruptArtifactError(ArtifactError):
    """Bytes, names, shapes or checksums differ from what the manifest says."""

    code = "artifact_corrupt"


class MissingArtifactError(ArtifactError):
    """There is no such artifact."""

    code = "artifact_missing"
