from __future__ import annotations

import asyncio
import threading

import pytest

from exporter.web.threads import in_thread


def test_the_result_comes_back_from_another_thread() -> None:
    assert asyncio.run(in_thread(threading.get_ident)) != threading.get_ident()


def test_what_is_raised_is_raised_to_the_caller() -> None:
    def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        asyncio.run(in_thread(fail))


def test_threads_never_keep_the_process_from_exiting() -> None:
    assert asyncio.run(in_thread(lambda: threading.current_thread().daemon))


def test_a_caller_that_gave_up_is_not_told() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(10)
        threading.Timer(0, ended.set).start()

    async def give_up() -> None:
        task = asyncio.create_task(in_thread(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await in_thread(lambda: ended.wait(10))

    asyncio.run(give_up())


def test_a_loop_that_is_gone_is_not_told() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        ended.set()
        release.wait(10)

    async def leave() -> None:
        task = asyncio.create_task(in_thread(work))
        await in_thread(lambda: ended.wait(10))
        task.cancel()

    asyncio.run(leave())
    release.set()
    for thread in threading.enumerate():
        if thread.name == "web":
            thread.join(10)
