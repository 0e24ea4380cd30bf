"""What can go wrong in `ml`, free of torch and of HTTP.

    MLError                     every error that `ml` raises on purpose
     +- DataError               the rows cannot be used as asked (empty split, ragged rows, ...)
     +- DeviceUnavailableError  the device asked for does not exist here
     +- DivergedError           training left the finite numbers, or all sense
     +- CancelledError          the caller closed the run before its end
     +- CheckpointError         a checkpoint is damaged, or of another training
     +- PluginError             an installed package brings an architecture that cannot be used
     +- ArchitectureError       a module is not what its spec says, or cannot be trained and kept
     +- InputError              rows given for prediction do not fit the model; carries the position
     |   +- OverflowedError     the answer for a row is beyond float32
     +- ArtifactError           an artifact cannot be used
     |   +- CorruptArtifactError      bytes, names, shapes or checksums differ from the manifest
     |   +- MissingArtifactError      there is no such artifact
     |   +- UnknownArchitectureError  it is of an architecture that is not installed here
     +- ExchangeError           a model cannot be brought in, or written for others
     +- BadFileError            a file of rows cannot be read as asked; carries line and column
     +- DatasetError            the rows of a dataset cannot be used
         +- CorruptDatasetError       its file is not the one that was written
         +- MissingDatasetError       there is no such dataset

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


class CheckpointError(MLError):
    """A checkpoint is damaged, or of another training than the one that is to go on."""

    code = "checkpoint_unusable"


class PluginError(MLError):
    """An installed package brings an architecture that cannot be used; the process is not to start.

    The message names the entry point, the package and the reason.
    """

    code = "plugin_broken"


class ArchitectureError(MLError):
    """A module is not what its spec says, or cannot be trained and kept."""

    code = "architecture_broken"


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


class UnknownArchitectureError(ArtifactError):
    """The artifact is of an architecture that is not installed here."""

    code = "architecture_unknown"


class ExchangeError(MLError):
    """A model cannot be brought in as it is, or cannot be written for others to load.

    The message is one sentence, which tells what to do where there is something to do.
    """

    code = "exchange_failed"


class BadFileError(MLError):
    """A file of rows cannot be read as asked.

    ``line`` is the physical line at fault, counted from 1 (for Parquet, which has none, the row);
    ``column`` is the name of the column at fault. Either is None where the file as a whole is.
    """

    code = "bad_file"

    def __init__(self, message: str, line: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class DatasetError(MLError):
    """The rows of a dataset cannot be used."""

    code = "dataset_error"


class CorruptDatasetError(DatasetError):
    """The file of a dataset is not the one that was written."""

    code = "dataset_corrupt"


class MissingDatasetError(DatasetError):
    """There is no such dataset."""

    code = "dataset_missing"
