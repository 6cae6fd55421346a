"""Jobs between a slot and its workers: kept until answered, given up after too many deaths."""

import asyncio
from typing import Any

import pytest

from tests.thaw.helpers import spec
from tests.trainables.helpers import facts
from trainables.mailbox import MAX_DEATHS, Failed, Job, Mailbox

JOB = Job(spec(1e-3), facts(), ())


def make() -> Any:
    """The class itself: what Ray would run in a process of its own."""
    return Mailbox.__ray_metadata__.modified_class()  # type: ignore[attr-defined]


def test_a_job_stays_until_it_is_answered() -> None:
    async def story() -> None:
        box = make()
        number = await box.post(JOB)
        assert await box.take(number, 0, 60) is JOB
        assert await box.first_open(0, "node", "worker 0") == number, (
            "who starts again takes up the same job"
        )
        assert await box.take(number, 0, 60) is JOB
        await box.answer(number, Failed("no"))
        assert await box.outcome(number) == Failed("no")
        assert await box.first_open(0, "node", "worker 0") == number + 1

    asyncio.run(story())


def test_a_job_over_which_workers_die_again_and_again_is_given_up() -> None:
    async def story() -> None:
        box = make()
        number = await box.post(JOB)
        await box.take(await box.first_open(0, "node", "worker 0"), 0, 60)
        for _ in range(MAX_DEATHS):
            await box.report("it hung")
            await box.take(await box.first_open(0, "node", "worker 0"), 0, 60)
        await box.report("it hung")
        await box.first_open(0, "node", "worker 0")
        failed = await box.outcome(number)
        assert failed.deadly and "died 4 times" in failed.because and "it hung" in failed.because

    asyncio.run(story())


def test_who_was_lost_without_a_word_is_named() -> None:
    async def story() -> None:
        box = make()
        await box.post(JOB)
        for name in ("process 1", "process 2", "process 3"):
            number = await box.first_open(0, "node", name)
            await box.take(number, 0, 60)
            if name == "process 2":
                await box.report("process 2 hung")
        await box.answer(number, Failed("no"))
        await box.first_open(0, "node", "process 4")
        assert await box.incidents() == [
            "process 1 was lost in the middle of a segment",
            "process 2 hung",
            "process 3 was lost between two segments",
        ]

    asyncio.run(story())


def test_deaths_between_jobs_and_of_other_ranks_count_for_none() -> None:
    async def story() -> None:
        box = make()
        for _ in range(3 * MAX_DEATHS):
            assert await box.first_open(0, "node", "worker 0") == 0
        number = await box.post(JOB)
        await box.take(number, 1, 60)
        for _ in range(3 * MAX_DEATHS):
            assert await box.first_open(1, "node", "worker 1") == number
        assert await box.take(number, 0, 60) is JOB

    asyncio.run(story())


def test_each_job_has_its_own_count() -> None:
    async def story() -> None:
        box = make()
        for number in range(4):
            assert await box.post(JOB) == number
            for _ in range(MAX_DEATHS):
                await box.take(await box.first_open(0, "node", "worker 0"), 0, 60)
            await box.answer(number, Failed("no"))

    asyncio.run(story())


@pytest.mark.parametrize("before", [True, False])
def test_the_end_of_work_reaches_who_waits_and_who_comes_later(before: bool) -> None:
    async def story() -> None:
        box = make()
        waiting = asyncio.create_task(box.take(0, 0, 60)) if before else None
        await asyncio.sleep(0)
        await box.end()
        assert await (waiting or box.take(0, 0, 60)) is None
        assert await box.take(7, 1, 60) is None

    asyncio.run(story())


def test_workers_go_home_for_want_of_work() -> None:
    async def story() -> None:
        box = make()
        assert not await box.over()
        assert await asyncio.gather(box.take(0, 0, 0.01), box.take(0, 1, 60)) == [None, None]
        assert await box.over()
        assert await box.post(JOB) is None

    asyncio.run(story())


def test_who_waits_for_rank_0_to_save_is_not_idle() -> None:
    async def story() -> None:
        box = make()
        number = await box.post(JOB)
        await box.take(number, 0, 60)
        waiting = asyncio.create_task(box.take(number + 1, 1, 0.01))
        await asyncio.sleep(0.1)
        assert not await box.over()
        await box.answer(number, Failed("no"))
        await box.post(JOB)
        assert await waiting is JOB

    asyncio.run(story())


def test_it_knows_nodes_and_hands_out_incidents_once() -> None:
    async def story() -> None:
        box = make()
        await box.first_open(0, "a", "worker 0")
        await box.first_open(1, "b", "worker 1")
        await box.first_open(1, "c", "worker 1")
        assert await box.nodes() == {"a", "c"}
        await box.report("it hung")
        assert await box.incidents() == ["it hung"]
        assert await box.incidents() == []

    asyncio.run(story())
