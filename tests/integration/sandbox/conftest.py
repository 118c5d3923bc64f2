"""Fixtures: a small model, and a folder for a slot to work in."""

from __future__ import annotations

from pathlib import Path

import pytest

from spleeter_microservice.sandbox.messages import InferenceModel
from tests.support.inference_models import tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> InferenceModel:
    """Return a model that is loaded and run in an instant."""
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return an empty work folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
