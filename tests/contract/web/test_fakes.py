"""The fakes behave as the real services do, as far as the API relies on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import EmptyInputError, ModelNotInstalledError, NotAudioError
from spleeter_microservice.jobs.claims import Claims
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.sandbox.prober import Prober
from tests.support.web_service import WavProber, song
from tests.support.web_service import WorkerRegistry as FakeRegistry

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["real", "played"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def prober(kind: str, tmp_path: Path) -> AsyncIterator[Prober]:
    if kind == "played":
        yield WavProber()
        return
    async with Prober(tmp_path) as real:
        yield real


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, timeout=60) as opened:
        yield opened


class TestProbers:
    async def test_a_song_is_described(self, prober: Prober, tmp_path: Path) -> None:
        path = tmp_path / "upload"
        path.write_bytes(song(2.0, rate=8000))
        facts = await prober.probe(path)
        assert (facts.format, facts.codec, facts.sample_rate, facts.channels) == ("wav", "pcm_u8", 8000, 1)
        assert facts.duration == pytest.approx(2.0, abs=0.01)

    @pytest.mark.parametrize(
        ("content", "error"),
        [(b"", EmptyInputError), (b"%PDF-1.7 and no song at all" * 20, NotAudioError)],
    )
    async def test_a_file_that_is_not_a_song_is_refused_for_the_same_reason(
        self, prober: Prober, tmp_path: Path, content: bytes, error: type[Exception]
    ) -> None:
        path = tmp_path / "upload"
        path.write_bytes(content)
        with pytest.raises(error):
            await prober.probe(path)


class TestFleets:
    @pytest_asyncio.fixture
    async def fleet(self, kind: str, database: Database) -> WorkerRegistry:
        played = FakeRegistry()
        if kind == "played":
            return played
        worker = await Claims(database).register("worker", 1)
        real = WorkerRegistry(database)
        await real.report(worker, played.models)
        return real

    async def test_models_are_listed_with_those_that_are_missing(self, fleet: WorkerRegistry) -> None:
        models = {model.name: model for model in await fleet.list_models()}
        assert models["2stems"].installed
        assert not models["5stems"].installed
        assert models["2stems"].stems == ("vocals", "accompaniment")

    async def test_the_model_for_a_number_of_stems_is_an_installed_one(self, fleet: WorkerRegistry) -> None:
        assert (await fleet.choose(2, "official")).name == "2stems"
        assert (await fleet.choose(4, "official")).name == "4stems-lite"
        assert (await fleet.choose(2, "official")).result_version

    async def test_no_model_is_said_to_be_missing(self, fleet: WorkerRegistry) -> None:
        with pytest.raises(ModelNotInstalledError):
            await fleet.choose(5, "official")

    async def test_workers_that_are_ready_are_counted(self, fleet: WorkerRegistry) -> None:
        assert await fleet.ready() == 1
