"""What can go wrong for a client: the service's own errors by their codes, and those on the way.

RefitError
 +- UnreachableError          no answer came
 +- UnexpectedAnswerError     what answered is not Refit
 +- WaitTimeoutError          the job goes on, the patience is over
 +- JobFailedError            the job has ended, and not with a version
 |   +- JobCancelledError
 +- ServiceError              the service refused: code, status, detail, errors, request_id
     +- NotFoundError         model_not_found, version_not_found, job_not_found, dataset_not_found
     +- ConflictError         job_finished, version_active, nothing_to_roll_back, ...
     +- InvalidRequestError   unseen_category, bad_file, idempotency_key_reused
     +- BusyError             queue_full, overloaded, not_ready, ...: try again later
     +- one class each        too_large, deadline_exceeded, internal_error, ...

`ERRORS` holds the class of each code; a test holds it to the service's own table. A code that a
newer service brings is a plain `ServiceError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from service.schemas.problem import FaultResponse

if TYPE_CHECKING:
    from service.schemas.jobs import JobResponse


__all__ = [
    "ERRORS",
    "BadFileError",
    "BusyError",
    "ClientTooSlowError",
    "ConflictError",
    "CrossOriginError",
    "DatasetInUseError",
    "DatasetNotFoundError",
    "DatasetUnreadableError",
    "DeadlineError",
    "HeadTooLargeError",
    "IdempotencyKeyReusedError",
    "InternalError",
    "InvalidRequestError",
    "JobCancelledError",
    "JobFailedError",
    "JobFinishedError",
    "JobNotFinishedError",
    "JobNotFoundError",
    "MalformedHttpError",
    "MethodNotAllowedError",
    "ModelNotFoundError",
    "NotFoundError",
    "NotReadyError",
    "NothingToRollBackError",
    "OverloadedError",
    "PictureTooLargeError",
    "QueueFullError",
    "RefitError",
    "ServiceError",
    "SpecUnreadableError",
    "StorageFullError",
    "StoreUnavailableError",
    "TooLargeError",
    "TooManyConnectionsError",
    "TooManyDatasetsError",
    "TooManyStreamsError",
    "TooManyUploadsError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "UnseenCategoryError",
    "UnsupportedMediaTypeError",
    "UnsupportedOperationError",
    "UploadStalledError",
    "VersionActiveError",
    "VersionNotFoundError",
    "VersionUnloadableError",
    "WaitTimeoutError",
]


class RefitError(Exception):
    """Base of everything that the client raises about a service."""


class UnreachableError(RefitError):
    """No answer came, though it was tried again as long as that was safe."""

    def __init__(self, message: str, *, maybe_done: bool) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done
        """Whether the service may have done what was asked, and only the answer was lost."""


class UnexpectedAnswerError(RefitError):
    """The answer is none of Refit's: another program listens there, or one stands between."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class WaitTimeoutError(RefitError, TimeoutError):
    """The job has not ended in the time that was given; it goes on."""


class JobFailedError(RefitError):
    """The job has ended without a version."""

    def __init__(self, message: str, *, code: str, job: JobResponse) -> None:
        super().__init__(message)
        self.code = code
        """Why, in a word that stays: `diverged`, `out_of_memory`, `crashed`, …"""
        self.job = job


class JobCancelledError(JobFailedError):
    """The job was cancelled."""


class ServiceError(RefitError):
    """The service refused, and said why."""

    code: str = ""
    """Stable; the words may change."""
    status: int
    detail: str
    errors: tuple[FaultResponse, ...]
    """What is wrong and where: JSON pointers into the body, lines and columns of a file."""
    request_id: str
    """Under which the service logged it."""
    retry_after: float | None
    """Seconds after which the service wants to be asked again, where it said so."""

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        status: int = 0,
        errors: tuple[FaultResponse, ...] = (),
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.status = status
        self.errors = errors
        self.request_id = request_id
        self.retry_after = retry_after


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


class JobFinishedError(ConflictError):
    code = "job_finished"


class JobNotFinishedError(ConflictError):
    code = "job_not_finished"


class VersionActiveError(ConflictError):
    code = "version_active"


class VersionUnloadableError(ConflictError):
    code = "version_unloadable"


class SpecUnreadableError(ConflictError):
    code = "spec_unreadable"


class NothingToRollBackError(ConflictError):
    code = "nothing_to_roll_back"


class PictureTooLargeError(ConflictError):
    code = "picture_too_large"


class DatasetInUseError(ConflictError):
    code = "dataset_in_use"


class DatasetUnreadableError(ConflictError):
    code = "dataset_unreadable"


class TooManyDatasetsError(ConflictError):
    code = "too_many_datasets"


class InvalidRequestError(ServiceError):
    """The request cannot be meant; `errors` say what was got, what was wanted, where."""

    code = "invalid_request"


class UnseenCategoryError(InvalidRequestError):
    code = "unseen_category"


class BadFileError(InvalidRequestError):
    code = "bad_file"


class IdempotencyKeyReusedError(InvalidRequestError):
    code = "idempotency_key_reused"


class BusyError(ServiceError):
    """Nothing was done; the same request may be answered later."""


class QueueFullError(BusyError):
    code = "queue_full"


class TooManyStreamsError(BusyError):
    code = "too_many_streams"


class TooManyUploadsError(BusyError):
    code = "too_many_uploads"


class OverloadedError(BusyError):
    code = "overloaded"


class TooManyConnectionsError(BusyError):
    code = "too_many_connections"


class NotReadyError(BusyError):
    code = "not_ready"


class StoreUnavailableError(BusyError):
    code = "store_unavailable"


class MethodNotAllowedError(ServiceError):
    code = "method_not_allowed"


class UploadStalledError(ServiceError):
    code = "upload_stalled"


class TooLargeError(ServiceError):
    code = "too_large"


class UnsupportedMediaTypeError(ServiceError):
    code = "unsupported_media_type"


class CrossOriginError(ServiceError):
    code = "cross_origin"


class UnsupportedOperationError(ServiceError):
    code = "unsupported_operation"


class MalformedHttpError(ServiceError):
    code = "malformed_http"


class ClientTooSlowError(ServiceError):
    code = "client_too_slow"


class HeadTooLargeError(ServiceError):
    code = "head_too_large"


class DeadlineError(ServiceError):
    code = "deadline_exceeded"


class StorageFullError(ServiceError):
    code = "storage_full"


class InternalError(ServiceError):
    """A bug of the service; it is logged there under the `request_id`."""

    code = "internal_error"


def _below(base: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for error in base.__subclasses__():
        yield error
        yield from _below(error)


ERRORS: dict[str, type[ServiceError]] = {
    error.code: error for error in _below(ServiceError) if error.code
}
"""The class of each code."""
