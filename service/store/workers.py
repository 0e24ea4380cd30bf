"""Web processes and what they have loaded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from service.entities import Worker
from service.store.tables import workers

# A swap runs these beside predictions, which wait while a statement is put together: so once.
_ANNOUNCED = ("pid", "generation", "failure", "seen_at", "loaded")
_ANNOUNCE = (
    update(workers)
    .where(workers.c.node == bindparam("of_node"), workers.c.slot == bindparam("of_slot"))
    .values({name: bindparam(name) for name in _ANNOUNCED})
)
_LIVE = (
    select(workers)
    .where(workers.c.seen_at >= bindparam("since"))
    .order_by(workers.c.node, workers.c.slot)
)


class WorkerStore:
    """Rows of web processes in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def announce(self, worker: Worker) -> None:
        """Write how a worker is, in the place of who had its slot before."""
        values: dict[str, Any] = {
            "pid": worker.pid,
            "generation": worker.generation,
            "failure": worker.failure,
            "seen_at": worker.seen_at,
            "loaded": list(worker.loaded),
        }
        place = {"of_node": worker.node, "of_slot": worker.slot}
        if self._connection.execute(_ANNOUNCE, values | place).rowcount == 0:
            place = {"node": worker.node, "slot": worker.slot}
            self._connection.execute(insert(workers), values | place)

    def live(self, since: datetime) -> list[Worker]:
        """Workers that have announced themselves since then."""
        rows = self._connection.execute(_LIVE, {"since": since})
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
