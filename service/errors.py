"""What can go wrong, with stable codes; free of HTTP (statuses live in api/errors.py).

ServiceError
 +- NotFoundError            model_not_found, version_not_found, job_not_found, dataset_not_found
 +- ConflictError            job_finished, version_active, nothing_to_roll_back, dataset_in_use, ...
 +- InvalidRequestError      invalid_request: what was got, what was wanted, where
 |   +- IdempotencyKeyReusedError
 +- BadFileError             bad_file: a file of rows that cannot be read, with line and column
 +- TooLargeError            a body above its bound
 +- UnsupportedMediaTypeError
 +- UnsupportedOperationError  what a protocol knows and this service does otherwise
 +- QueueFullError           try again after ``retry_after_seconds``
 +- TooManyStreamsError      likewise
 +- TooManyUploadsError      likewise
 +- OverloadedError         likewise: more predictions are being worked on than are allowed
 +- DeadlineError           the prediction took longer than is allowed
 +- UploadStalledError       nothing of a body has come for long
 +- StorageFullError         the disk of the service is full
 +- NotReadyError            no active version is loaded
 +- StoreUnavailableError    the database does not answer; try again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request; ``pointer`` is a JSON pointer (RFC 6901) into its body."""

    pointer: str
    detail: str
    line: int | None = None
    """Of a file of rows, counted from 1; None where that says nothing."""
    column: str | None = None


class ServiceError(Exception):
    """Every error that the service raises on purpose."""

    code = "service_error"
    retry_after_seconds: int | None = None

    def __init__(self, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)


class NotFoundError(ServiceError):
    """What was named does not exist."""

    code = "not_found"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"


class VersionNotFoundError(NotFoundError):
    code = "version_not_found"


class JobNotFoundError(NotFoundError):
    code = "job_not_found"


class DatasetNotFoundError(NotFoundError):
    code = "dataset_not_found"


class ConflictError(ServiceError):
    """What was asked does not go with the present state."""

    code = "conflict"


class JobFinishedError(ConflictError):
    code = "job_finished"


class JobNotFinishedError(ConflictError):
    code = "job_not_finished"


class VersionActiveError(ConflictError):
    code = "version_active"


class SpecUnreadableError(ConflictError):
    """What a job or a version was asked to be cannot be read here any more."""

    code = "spec_unreadable"


class VersionUnloadableError(ConflictError):
    """The version's files are missing or damaged; the pointer was not moved."""

    code = "version_unloadable"


class NothingToRollBackError(ConflictError):
    code = "nothing_to_roll_back"


class DatasetInUseError(ConflictError):
    """A job that waits or runs reads it."""

    code = "dataset_in_use"


class DatasetUnreadableError(ConflictError):
    """The file of the dataset is missing or damaged."""

    code = "dataset_unreadable"


class PictureTooLargeError(ConflictError):
    """More rows than a web process should read for a picture."""

    code = "picture_too_large"


class TooManyDatasetsError(ConflictError):
    code = "too_many_datasets"


class InvalidRequestError(ServiceError):
    """The request cannot be meant; each fault says what was got, what was wanted, where."""

    code = "invalid_request"


class UnseenCategoryError(InvalidRequestError):
    """A category holds a value that the training rows did not have."""

    code = "unseen_category"


class IdempotencyKeyReusedError(ServiceError):
    """The same key came with another body."""

    code = "idempotency_key_reused"


class BadFileError(ServiceError):
    """The file cannot be read as rows; the fault names line and column where they are known."""

    code = "bad_file"


class TooLargeError(ServiceError):
    code = "too_large"


class UnsupportedMediaTypeError(ServiceError):
    code = "unsupported_media_type"


class UnsupportedOperationError(ServiceError):
    """What a protocol knows and this service does otherwise; the detail says how."""

    code = "unsupported_operation"


class QueueFullError(ServiceError):
    code = "queue_full"
    retry_after_seconds = 5


class TooManyStreamsError(ServiceError):
    code = "too_many_streams"
    retry_after_seconds = 5


class TooManyUploadsError(ServiceError):
    code = "too_many_uploads"
    retry_after_seconds = 5


class OverloadedError(ServiceError):
    """More predictions wait for the processor than are allowed."""

    code = "overloaded"
    retry_after_seconds = 1


class DeadlineError(ServiceError):
    """The prediction did not end in the time that one may take."""

    code = "deadline_exceeded"


class UploadStalledError(ServiceError):
    """The client has sent nothing for long, and what it holds is wanted by others."""

    code = "upload_stalled"


class StorageFullError(ServiceError):
    """Nothing of what was sent is kept."""

    code = "storage_full"


class NotReadyError(ServiceError):
    code = "not_ready"
    retry_after_seconds = 1


class StoreUnavailableError(ServiceError):
    code = "store_unavailable"
    retry_after_seconds = 1
