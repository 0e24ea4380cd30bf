"""A client for the service that is meant; what goes wrong is one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from service.commands.output import say

if TYPE_CHECKING:
    from service.client import Client, ServiceError

RETRY_SECONDS = 3.0
"""A person is waiting, so less than a program would have patience for."""


class Code(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    """The service refused, or the job did not succeed."""
    USAGE = 2
    UNREACHABLE = 3
    """Nobody answers, something else does, or the data folder cannot be had."""
    INTERRUPTED = 130


@contextmanager
def reach(url: str, data_dir: Path | None, *, make: bool = False) -> Iterator[Client]:
    """A client for the service at ``url``, or for a private one on ``data_dir``.

    The folder must be there unless ``make`` is true.

    Raises:
        typer.Exit: something went wrong, and has been said on stderr.
    """
    from service.client import (
        Client,
        RefitError,
        Retries,
        ServiceError,
        UnexpectedAnswerError,
        UnreachableError,
    )
    from service.commands.private import NotStartedError, private_service

    # Around the others: a wait that takes too long is an OSError too, as every TimeoutError is.
    with one_line_errors():
        try:
            with ExitStack() as stack:
                if data_dir is not None:
                    if not make and not data_dir.is_dir():
                        raise NotStartedError(f"there is no folder {data_dir}")
                    url = stack.enter_context(private_service(data_dir))
                retries = Retries(seconds=RETRY_SECONDS)
                yield stack.enter_context(Client(url, retries=retries))
        except NotStartedError as error:
            raise fail(str(error), Code.UNREACHABLE) from error
        except (UnreachableError, UnexpectedAnswerError) as error:
            raise fail(f"{url}: {error}", Code.UNREACHABLE) from error
        except ServiceError as error:
            raise fail(_sentence(error)) from error
        except RefitError as error:
            raise fail(str(error)) from error
        except (TypeError, ValueError) as error:
            raise fail(str(error), Code.USAGE) from error


@contextmanager
def one_line_errors() -> Iterator[None]:
    """For what goes wrong on this side: files, and a person who has had enough.

    Raises:
        typer.Exit: something went wrong, and has been said on stderr.
    """
    try:
        yield
    except OSError as error:
        words = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise fail(words, Code.USAGE) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(Code.INTERRUPTED) from error


def fail(words: str, code: Code = Code.FAILED) -> typer.Exit:
    """Say what went wrong, in one line; the exit to raise."""
    say(f"error: {' '.join(words.split())}")
    return typer.Exit(code)


def _sentence(error: ServiceError) -> str:
    known = f" [request {error.request_id}]" if error.status >= 500 and error.request_id else ""
    return f"{error.detail} ({error.code}){known}"
