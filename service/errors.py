"""What can go wrong, with stable codes; free of HTTP (statuses live in api/errors.py).

ServiceError
 +- NotFoundError            model_not_found, version_not_found, job_not_found
 +- ConflictError            job_finished, version_active, nothing_to_roll_back, ...
 +- InvalidRequestError      invalid_request: what was got, what was wanted, where
 |   +- IdempotencyKeyReusedError
 +- TooLargeError            a body above its bound
 +- UnsupportedMediaTypeError
 +- QueueFullError           try again after ``retry_after_seconds``
 +- TooManyStreamsError      likewise
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


class ConflictError(ServiceError):
    """What was asked does not go with the present state."""

    code = "conflict"


class JobFinishedError(ConflictError):
    code = "job_finished"


class JobNotFinishedError(ConflictError):
    code = "job_not_finished"


class VersionActiveError(ConflictError):
    code = "version_active"


class VersionUnloadableError(ConflictError):
    """The version's files are missing or damaged; the pointer was not moved."""

    code = "version_unloadable"


class NothingToRollBackError(ConflictError):
    code = "nothing_to_roll_back"


class InvalidRequestError(ServiceError):
    """The request cannot be meant; each fault says what was got, what was wanted, where."""

    code = "invalid_request"


class IdempotencyKeyReusedError(ServiceError):
    """The same key came with another body."""

    code = "idempotency_key_reused"


class TooLargeError(ServiceError):
    code = "too_large"


class UnsupportedMediaTypeError(ServiceError):
    code = "unsupported_media_type"


class QueueFullError(ServiceError):
    code = "queue_full"
    retry_after_seconds = 5


class TooManyStreamsError(ServiceError):
    code = "too_many_streams"
    retry_after_seconds = 5


class NotReadyError(ServiceError):
    code = "not_ready"
    retry_after_seconds = 1


class StoreUnavailableError(ServiceError):
    code = "store_unavailable"
    retry_after_seconds = 1
