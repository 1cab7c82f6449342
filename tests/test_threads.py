from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from functools import partial

import pytest

from exporter.threads import Threads, in_thread


def test_the_result_comes_back_from_another_thread() -> None:
    assert asyncio.run(in_thread(threading.get_ident)) != threading.get_ident()


def test_what_is_raised_is_raised_to_the_caller() -> None:
    def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        asyncio.run(in_thread(fail))


def test_threads_never_keep_the_process_from_exiting() -> None:
    assert asyncio.run(in_thread(lambda: threading.current_thread().daemon))


def test_a_caller_that_gave_up_gets_nothing() -> None:
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


def test_a_call_that_outlives_its_loop_ends_silently() -> None:
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
        if thread.name == "in-thread":
            thread.join(10)


def test_as_many_calls_as_allowed_are_made_at_once_and_the_others_in_order() -> None:
    begun: list[int] = []
    both, release = threading.Barrier(3), threading.Event()

    def call(number: int) -> int:
        begun.append(number)
        if number < 2:
            both.wait(10)
            release.wait(10)
        return number

    async def scenario() -> None:
        threads = Threads(2, "few")
        calls = [threads.run(partial(call, number)) for number in range(5)]
        await in_thread(lambda: both.wait(10))
        assert sorted(begun) == [0, 1]
        release.set()
        assert await asyncio.gather(*calls) == [0, 1, 2, 3, 4]
        assert sorted(begun[:2]) == [0, 1]
        assert sorted(begun[2:]) == [2, 3, 4]

    asyncio.run(scenario())


def test_no_more_threads_start_than_there_are_calls_at_once() -> None:
    async def scenario() -> set[int]:
        threads = Threads(10, "many")
        return {await threads.run(threading.get_ident) for _ in range(5)}

    assert len(asyncio.run(scenario())) == 1


def test_of_many_calls_none_is_left_behind() -> None:
    async def scenario() -> list[int]:
        threads = Threads(8, "many")
        return await asyncio.gather(*[threads.run(partial(int, number)) for number in range(5000)])

    assert asyncio.run(scenario()) == list(range(5000))


def test_threads_end_with_the_last_reference_and_keep_nothing_of_a_call() -> None:
    async def scenario() -> list[threading.Thread]:
        threads = Threads(3, "ends")
        result = weakref.ref(await threads.run(threading.Event))
        await threads.run(int)
        assert result() is None
        return [thread for thread in threading.enumerate() if thread.name == "ends"]

    ended = asyncio.run(scenario())
    for thread in ended:
        thread.join(10)
    assert len(ended) == 1
    assert not ended[0].is_alive()


def test_the_thread_of_a_call_that_fails_ends_without_the_garbage_collector() -> None:
    def fail() -> None:
        failing.append(threading.current_thread())
        raise LookupError("here")

    async def scenario() -> None:
        with pytest.raises(LookupError, match="here"):
            await Threads(1, "fails").run(fail)

    failing: list[threading.Thread] = []
    gc.disable()
    try:
        asyncio.run(scenario())
        failing[0].join(10)
        assert not failing[0].is_alive()
    finally:
        gc.enable()


def test_closing_ends_idle_threads_now_and_others_after_their_calls() -> None:
    release = threading.Event()

    async def scenario() -> int:
        threads = Threads(2, "closed")
        busy, idle = threads.run(lambda: release.wait(10)), threads.run(threading.current_thread)
        ended = await idle
        threads.close()
        await in_thread(lambda: ended.join(10))
        assert not busy.done()
        release.set()
        assert await busy
        return await threads.run(lambda: 1)

    assert asyncio.run(scenario()) == 1


def test_a_thread_that_cannot_be_started_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        threads = Threads(1, "none")
        with monkeypatch.context() as context:
            context.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                threads.run(int)
        assert await threads.run(int) == 0

    asyncio.run(scenario())


def test_an_end_that_cannot_be_taken_in_keeps_back_no_other(caplog: pytest.LogCaptureFixture) -> None:
    results: list[object] = []

    def fail(_result: object, _failure: BaseException | None) -> None:
        raise LookupError("here")

    async def call() -> None:
        threads, both = Threads(1, "test"), asyncio.Event()

        def note(result: object, _failure: BaseException | None) -> None:
            results.append(result)
            both.set()

        threads.call(lambda: 1, fail)
        threads.call(lambda: 2, note)
        async with asyncio.timeout(10):
            await both.wait()
        threads.close()

    asyncio.run(call())
    assert results == [2]
    assert "could not be taken in" in caplog.text


def test_a_call_that_raises_ends_with_what_it_raised() -> None:
    error = LookupError("here")

    def fail() -> None:
        raise error

    async def call() -> tuple[object, BaseException | None]:
        ended: asyncio.Future[tuple[object, BaseException | None]] = asyncio.get_running_loop().create_future()
        threads = Threads(1, "test")
        threads.call(fail, lambda result, failure: ended.set_result((result, failure)))
        try:
            return await ended
        finally:
            threads.close()

    assert asyncio.run(call()) == (None, error)
