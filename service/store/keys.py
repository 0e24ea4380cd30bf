"""The keys that make a repeated request the same job."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from service.store.tables import idempotency_keys


class KeyStore:
    """Rows of idempotency keys in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, key: str, since: datetime) -> tuple[str, str] | None:
        """Digest and job id that were remembered under ``key`` not before ``since``."""
        query = select(idempotency_keys.c.digest, idempotency_keys.c.job_id).where(
            idempotency_keys.c.key == key, idempotency_keys.c.created_at >= since
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else (row.digest, row.job_id)

    def remember(self, key: str, digest: str, job_id: str, now: datetime) -> None:
        """Remember which job a key made, in place of an older memory of the same key."""
        self._connection.execute(delete(idempotency_keys).where(idempotency_keys.c.key == key))
        values = {"key": key, "digest": digest, "job_id": job_id, "created_at": now}
        self._connection.execute(insert(idempotency_keys).values(values))

    def delete_older(self, before: datetime) -> int:
        """Forget keys older than ``before``; how many."""
        old = delete(idempotency_keys).where(idempotency_keys.c.created_at < before)
        return self._connection.execute(old).rowcount
