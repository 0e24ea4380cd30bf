"""The headers Prefer (RFC 7240) and Idempotency-Key."""

from __future__ import annotations

import re

from service.errors import Fault, InvalidRequestError

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)
_KEY = re.compile(r'"([\x21\x23-\x7e]{1,255})"\Z')


def wait_seconds(prefer: str | None, longest: float) -> float | None:
    """The seconds of `Prefer: wait=N`, cut to ``longest``; None where the client does not wait."""
    found = _WAIT.search(prefer or "")
    return None if found is None else min(float(found[1]), longest)


def idempotency_key(header: str | None) -> str | None:
    """The key in a header such as ``"8e03978e"``, a quoted string; bare ones are taken too.

    Raises:
        InvalidRequestError: it is empty, too long, or holds characters that no key has.
    """
    if header is None:
        return None
    text = header.strip()
    found = _KEY.match(text if text.startswith('"') else f'"{text}"')
    if found is None:
        detail = "Idempotency-Key: expected a quoted string of 1 to 255 visible ASCII characters"
        raise InvalidRequestError(detail, [Fault("", detail)])
    return found[1]
