"""What a disk that takes nothing more comes to for whoever asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from service.durable import is_disk_barred, is_disk_full
from service.errors import StorageFullError, StoreUnavailableError

logger = logging.getLogger(__name__)


@contextmanager
def trouble_in_words(what: str) -> Iterator[None]:
    """A disk that is full or cannot be written, said as an error of the service; ``what`` is given
    up then, and the log says so.

    Raises:
        StorageFullError, StoreUnavailableError: in place of the OSError.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            logger.error("%s was given up: %s", what, error)
            detail = "the disk of the service is full; nothing was kept"
            raise StorageFullError(detail) from error
        if is_disk_barred(error):
            logger.error("%s was given up: %s", what, error)
            detail = "the disk of the service cannot be written; nothing was kept"
            raise StoreUnavailableError(detail) from error
        raise
