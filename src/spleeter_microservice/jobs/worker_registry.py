"""The registry of running workers and of the models that they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.errors import ModelNotInstalledError


@dataclass(frozen=True)
class RegisteredModel:
    """A model that is installed or can be.

    Attributes:
        name: name of the model, ``4stems-lite``.
        stems: names of its stems, in order.
        installed: whether a worker has it.
        result_version: identifies the weights and the program; a result is reused only for the same one.
        bandwidth: ``official`` for up to 11 kHz, ``16kHz`` for up to 16 kHz.
        quality: ``official`` for Deezer's weights, ``approximate`` for those that this project trained.
        experimental: whether a stem is not good enough to be relied on.
        licence: licence of the weights.
    """

    name: str
    stems: tuple[str, ...]
    installed: bool
    result_version: str = ""
    bandwidth: Literal["official", "16kHz"] = "official"
    quality: Literal["official", "approximate"] = "official"
    experimental: bool = False
    licence: str = ""


def best(
    models: Sequence[RegisteredModel], stems: int, bandwidth: str, name: str | None = None
) -> RegisteredModel:
    """Return the best installed model: official ones before approximate ones before experimental ones.

    Args:
        models: models to choose from.
        stems: number of stems.
        bandwidth: option of the job; ``full`` needs a model of the bandwidth ``official``.
        name: name of the only model to choose, whatever its stems and its bandwidth.

    Raises:
        ModelNotInstalledError: if none is installed; the message names the command that installs one.
    """
    band = "16kHz" if bandwidth == "16kHz" else "official"
    fitting = [
        model
        for model in models
        if (len(model.stems) == stems and model.bandwidth == band if name is None else model.name == name)
    ]
    installed = [model for model in fitting if model.installed]
    if not installed:
        lacking = f"The model {name}" if name else f"A model for {stems} stems"
        name = name or (fitting[0].name if fitting else f"{stems}stems")
        raise ModelNotInstalledError(
            f"{lacking} is not installed. An operator can install one: "
            f"spleeter-microservice models pull {name}"
        )
    return min(installed, key=lambda model: (model.quality != "official", model.experimental, model.name))


class WorkerRegistry:
    """The workers of a database and their models.

    Every method raises ``DatabaseUnavailableError`` if the database cannot be reached.

    Args:
        database: an open database.
        silence: seconds without a heartbeat after which a worker no longer counts.
    """

    def __init__(self, database: Database, silence: float = 6.0) -> None:
        self._database = database
        self._silence = silence

    async def ready(self) -> int:
        """Return the number of running workers that have a model.

        Each of them has passed the self-check with the reference clip.
        """
        return int((await self._database.one("count_workers", silence=self._silence))["workers"])

    async def list_models(self) -> Sequence[RegisteredModel]:
        """Return the models that are installed or can be."""
        return [_model(row) for row in await self._database.rows("list_models")]

    async def choose(self, stems: int, bandwidth: str, name: str | None = None) -> RegisteredModel:
        """Return the best installed model for a number of stems, or one by its name; see ``best``.

        Raises:
            ModelNotInstalledError: if none is installed; the message names the command that installs one.
        """
        return best(await self.list_models(), stems, bandwidth, name)

    async def report(self, worker: int, models: Sequence[RegisteredModel]) -> None:
        """Record the models that a worker has, and the others that it knows."""
        async with self._database.transaction() as transaction:
            have = [model.name for model in models if model.installed]
            await transaction.do("note_models", worker=worker, models=have)
            for model in models:
                await transaction.do("put_model", worker=worker, **asdict(model) | {"stems": [*model.stems]})
            await transaction.do("drop_models", worker=worker, known=[model.name for model in models])


def _model(row: Row) -> RegisteredModel:
    return RegisteredModel(**row | {"stems": tuple(row["stems"])})
