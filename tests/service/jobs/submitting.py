"""Clients in a process of their own."""

from __future__ import annotations

from service.jobs.desk import JobDesk
from service.schemas.training import TrainRequest
from service.settings import Settings
from service.store.database import Database
from tests.service.making import at_once


def submit_at_once(settings: Settings, count: int) -> list[str]:
    """Submit the same request with the same key in as many threads; the id of each one's job."""
    database = Database(settings.sqlalchemy_url)
    desk = JobDesk(database, settings)
    jobs = at_once(count, lambda _: desk.submit("default", TrainRequest(), "key"))
    database.close()
    return [job.id for job in jobs]
