"""The workers that live, and the models that they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.errors import ModelNotInstalledError


@dataclass(frozen=True)
class RegisteredModel:
    """A model that can separate now, or could be installed.

    Attributes:
        name: as users are told, ``4stems-lite``.
        stems: its instruments, in order.
        installed: whether a worker has it.
        result_version: weights and version; results are reused between equal ones only.
        bandwidth: ``official`` up to 11 kHz, ``16kHz`` up to 16.
        quality: ``official``, or ``approximate`` for what this project trained itself.
        experimental: whether a stem of it is not yet good.
        licence: of its weights.
    """

    name: str
    stems: tuple[str, ...]
    installed: bool
    result_version: str = ""
    bandwidth: Literal["official", "16kHz"] = "official"
    quality: Literal["official", "approximate"] = "official"
    experimental: bool = False
    licence: str = ""


def best(models: Sequence[RegisteredModel], stems: int, bandwidth: str) -> RegisteredModel:
    """Choose among models: official weights before approximate ones, finished before experimental.

    Args:
        models: to choose from.
        stems: how many.
        bandwidth: as in ``Options``; ``full`` needs the model of ``official``.

    Raises:
        ModelNotInstalledError: when none fits; it says how to install one.
    """
    band = "16kHz" if bandwidth == "16kHz" else "official"
    fitting = [model for model in models if len(model.stems) == stems and model.bandwidth == band]
    installed = [model for model in fitting if model.installed]
    if not installed:
        raise ModelNotInstalledError(
            f"No model for {stems} stems is installed. Operators install one: "
            f"spleeter-microservice models pull {stems}stems"
        )
    return min(installed, key=lambda model: (model.quality != "official", model.experimental, model.name))


class WorkerRegistry:
    """What the workers of one database have and can do.

    Every call raises ``DatabaseUnavailableError`` when the database is away.

    Args:
        database: open.
        silence: a worker without a sign of life for so many seconds counts as dead.
    """

    def __init__(self, database: Database, silence: float = 6.0) -> None:
        self._database = database
        self._silence = silence

    async def ready(self) -> int:
        """Tell how many workers live and have models.

        Each of them separated the known clip as it must before it began.
        """
        async with self._database.statement() as statement:
            return int((await statement.one("count_workers", silence=self._silence))["workers"])

    async def list_models(self) -> Sequence[RegisteredModel]:
        """Give the models that are installed, and those that could be."""
        async with self._database.statement() as statement:
            return [_model(row) for row in await statement.rows("list_models")]

    async def choose(self, stems: int, bandwidth: str) -> RegisteredModel:
        """Give the best installed model for a number of stems.

        Raises:
            ModelNotInstalledError: when there is none; it says how to install one.
        """
        return best(await self.list_models(), stems, bandwidth)

    async def report(self, worker: int, models: Sequence[RegisteredModel]) -> None:
        """Note what models a worker has, and which others it knows."""
        async with self._database.transaction() as transaction:
            have = [model.name for model in models if model.installed]
            await transaction.do("note_models", worker=worker, models=have)
            for model in models:
                await transaction.do("put_model", worker=worker, **asdict(model) | {"stems": [*model.stems]})
            await transaction.do("drop_models", worker=worker, known=[model.name for model in models])


def _model(row: Row) -> RegisteredModel:
    return RegisteredModel(**row | {"stems": tuple(row["stems"])})
