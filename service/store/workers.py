"""Web processes and what they have loaded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from service.entities import Worker
from service.store.tables import workers


class WorkerStore:
    """Rows of web processes in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def announce(self, worker: Worker) -> None:
        """Write how a worker is, in the place of who had its slot before."""
        place = and_(workers.c.node == worker.node, workers.c.slot == worker.slot)
        values: dict[str, Any] = {
            "pid": worker.pid,
            "generation": worker.generation,
            "failure": worker.failure,
            "seen_at": worker.seen_at,
            "loaded": list(worker.loaded),
        }
        if self._connection.execute(update(workers).where(place).values(values)).rowcount == 0:
            values |= {"node": worker.node, "slot": worker.slot}
            self._connection.execute(insert(workers).values(values))

    def live(self, since: datetime) -> list[Worker]:
        """Workers that have announced themselves since then."""
        query = select(workers).where(workers.c.seen_at >= since)
        rows = self._connection.execute(query.order_by(workers.c.node, workers.c.slot))
        return [Worker(**{**row._mapping, "loaded": tuple(row.loaded or ())}) for row in rows]

    def forget(self, node: str, slot: int, pid: int) -> None:
        """Delete the row of a worker that ends, unless another has its slot already."""
        mine = and_(workers.c.node == node, workers.c.slot == slot, workers.c.pid == pid)
        self._connection.execute(delete(workers).where(mine))

    def forget_node(self, node: str) -> None:
        """Delete every row of a node, which starts anew."""
        self._connection.execute(delete(workers).where(workers.c.node == node))

    def forget_silent(self, since: datetime) -> None:
        """Delete rows of workers not heard of since then."""
        self._connection.execute(delete(workers).where(workers.c.seen_at < since))
