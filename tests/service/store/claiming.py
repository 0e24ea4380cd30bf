"""Claims, for processes and threads that compete."""

from __future__ import annotations

from datetime import UTC, datetime

from service.store.database import Database


def claim_all(url: str) -> list[tuple[str, int, int]]:
    """Claim until nothing waits; id, attempt and fence of each."""
    database = Database(url)
    claimed: list[tuple[str, int, int]] = []
    while True:
        with database.write() as stores:
            job = stores.jobs.claim(datetime.now(UTC))
        if job is None:
            database.close()
            return claimed
        claimed.append((job.id, job.attempt, job.fence))
