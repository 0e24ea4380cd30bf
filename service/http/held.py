"""The beginning of a plain request whose body has not come in full."""

from __future__ import annotations

from dataclasses import dataclass

from service.http.heads import PlainHead
from service.observability.trace import Caller


@dataclass(slots=True)
class Held:
    """As it came: joined once, where a body of half a megabyte comes in many pieces."""

    head: PlainHead
    caller: Caller | None
    body_from: int
    """Where the body begins in the first piece."""
    pieces: list[bytes]
    missing: int
    """Bytes that have not come; negative where more came than belong to the request."""

    def add(self, piece: bytes) -> None:
        """Another piece has come."""
        self.pieces.append(piece)
        self.missing -= len(piece)
