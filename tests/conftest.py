"""What tests share: the installed models."""

import os
from pathlib import Path

import pytest

from spleeter_microservice.bootstrap import find_model
from spleeter_microservice.errors import ModelNotInstalledError
from spleeter_microservice.settings import Settings
from tests.missing import missing

_REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def model_settings() -> Settings:
    """Settings of a store in which Deezer's 2-stem model is installed, pulled at first use."""
    folder = os.environ.get("SPLEETER_MODELS_DIR") or _REPOSITORY / ".cache" / "models"
    settings = Settings(models_dir=Path(folder))
    try:
        find_model("2stems", settings)
    except ModelNotInstalledError as error:
        missing(f"the 2-stem weights cannot be had: {error}")
    return settings
