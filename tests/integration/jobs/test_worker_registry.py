"""Workers report their models, and the best one is chosen."""

from dataclasses import replace

import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import ModelNotInstalledError
from spleeter_microservice.jobs.claims import Claims
from spleeter_microservice.jobs.worker_registry import RegisteredModel, WorkerRegistry

pytestmark = pytest.mark.asyncio

TWO = RegisteredModel("2stems", ("vocals", "accompaniment"), True, "2stems:ab")
WIDE = replace(TWO, name="2stems-16kHz", bandwidth="16kHz")
FOUR = RegisteredModel("4stems", ("vocals", "drums", "bass", "other"), False)
LITE = replace(FOUR, name="4stems-lite", installed=True, quality="approximate", result_version="lite:cd")


@pytest.fixture
def fleet(database: Database) -> WorkerRegistry:
    return WorkerRegistry(database)


async def worker(database: Database) -> int:
    return await Claims(database).register("test", 1)


async def test_live_workers_that_have_models_are_counted(database: Database, fleet: WorkerRegistry) -> None:
    number, other = await worker(database), await worker(database)
    assert await fleet.ready() == 0
    for one in (number, other):
        await fleet.report(one, [TWO])
    assert await fleet.ready() == 2
    await Claims(database).unregister(number)
    assert await fleet.ready() == 1
    assert await WorkerRegistry(database, silence=0).ready() == 0


async def test_reported_models_outlive_the_worker(database: Database, fleet: WorkerRegistry) -> None:
    number = await worker(database)
    await fleet.report(number, [TWO, FOUR])
    await Claims(database).unregister(number)
    assert await fleet.list_models() == [TWO, FOUR]


async def test_official_weights_are_preferred_to_approximate_ones(
    database: Database, fleet: WorkerRegistry
) -> None:
    number = await worker(database)
    await fleet.report(number, [TWO, FOUR, LITE])
    assert await fleet.choose(4, "official") == LITE
    installed = replace(FOUR, installed=True)
    await fleet.report(number, [TWO, installed, LITE])
    assert await fleet.choose(4, "full") == installed


async def test_the_bandwidth_chooses_the_variant(database: Database, fleet: WorkerRegistry) -> None:
    await fleet.report(await worker(database), [TWO, WIDE])
    assert await fleet.choose(2, "16kHz") == WIDE
    assert await fleet.choose(2, "full") == TWO
    assert await fleet.choose(4, "official", "2stems-16kHz") == WIDE


async def test_a_missing_model_is_an_error_that_says_how_to_install_it(
    database: Database, fleet: WorkerRegistry
) -> None:
    with pytest.raises(ModelNotInstalledError, match="models pull 4stems"):
        await fleet.choose(4, "official")
    await fleet.report(await worker(database), [TWO, FOUR])
    with pytest.raises(ModelNotInstalledError, match="models pull 4stems"):
        await fleet.choose(4, "official")


async def test_a_model_of_another_worker_stays_installed(database: Database, fleet: WorkerRegistry) -> None:
    one, two = await worker(database), await worker(database)
    await fleet.report(one, [TWO, LITE])
    await fleet.report(two, [TWO, replace(LITE, installed=False)])
    assert await fleet.choose(4, "official") == LITE
    await fleet.report(one, [TWO])
    await fleet.report(two, [TWO, replace(LITE, installed=False)])
    with pytest.raises(ModelNotInstalledError):
        await fleet.choose(4, "official")
