"""What the environment decides; read by ``cli`` and ``bootstrap`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Settings:
    """Settings of one process.

    Attributes:
        models_dir: where models are installed: ``SPLEETER_MODELS_DIR``, else the folder
            ``models`` in ``SPLEETER_DATA_DIR``, else the user's data folder.
        models_url: a mirror of Deezer's release archives, ``{models_url}/4stems.tar.gz`` and so
            on: ``SPLEETER_MODELS_URL``.
        checkpoints_dir: where ``model_dir`` of a configuration file is looked for, as in
            official Spleeter: ``MODEL_PATH``.
    """

    models_dir: Path
    models_url: str | None = None
    checkpoints_dir: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; an empty variable counts as one that is not set."""
        data_dir = environ.get("SPLEETER_DATA_DIR")
        default = Path(data_dir) if data_dir else Path(platformdirs.user_data_dir("spleeter-microservice"))
        checkpoints = environ.get("MODEL_PATH")
        return cls(
            models_dir=Path(environ.get("SPLEETER_MODELS_DIR") or default / "models"),
            models_url=environ.get("SPLEETER_MODELS_URL") or None,
            checkpoints_dir=Path(checkpoints) if checkpoints else None,
        )
