"""The reference material that lies beside the repository."""

import os
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared"


def shared(*parts: str) -> Path:
    """Give a path in the folder ``shared``, or skip the test where there is no such folder."""
    folder = Path(os.environ.get("SPLEETER_SHARED") or _BESIDE_THE_REPOSITORY)
    if not folder.is_dir():
        pytest.skip(f"the reference material is not at {folder}; SPLEETER_SHARED names another place")
    return folder.joinpath(*parts)
