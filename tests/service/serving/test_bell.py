"""Coroutines that a thread wakes."""

from __future__ import annotations

import asyncio
import threading

from service.serving.bell import Bell


def test_a_ring_of_another_thread_wakes_all_who_listen() -> None:
    bell = Bell()

    async def wait() -> None:
        with bell.listen() as rung:
            await asyncio.wait_for(rung.wait(), 30)

    async def main() -> None:
        waiting = [asyncio.create_task(wait()) for _ in range(5)]
        await asyncio.sleep(0)
        assert bell.is_heard
        threading.Thread(target=bell.ring).start()
        await asyncio.gather(*waiting)

    asyncio.run(main())
    assert not bell.is_heard


def test_a_ring_between_clearing_and_waiting_is_not_lost() -> None:
    bell = Bell()

    async def main() -> None:
        with bell.listen() as rung:
            rung.clear()
            thread = threading.Thread(target=bell.ring)
            thread.start()
            thread.join()
            await asyncio.wait_for(rung.wait(), 30)

    asyncio.run(main())


def test_a_ring_that_nobody_hears_is_forgotten() -> None:
    bell = Bell()

    async def main() -> bool:
        bell.ring()
        with bell.listen() as rung:
            await asyncio.sleep(0.05)
            return rung.is_set()

    assert not asyncio.run(main())


def test_who_listened_in_a_loop_that_has_ended_does_not_hold_up_the_others() -> None:
    bell = Bell()
    ended = asyncio.new_event_loop()

    async def leave_behind() -> object:
        listening = bell.listen()
        listening.__enter__()
        return listening

    left = ended.run_until_complete(leave_behind())
    ended.close()

    async def main() -> None:
        with bell.listen() as rung:
            bell.ring()
            await asyncio.wait_for(rung.wait(), 30)

    asyncio.run(main())
    assert bell.is_heard
    del left
