"""The command ``models`` does what it is told and reports it."""

import argparse
import json
from pathlib import Path

import pytest

from spleeter_microservice.cli.models import add_parser
from spleeter_microservice.errors import ModelCorruptError, ModelNotInstalledError, UnknownModelError
from spleeter_microservice.models.store import ModelStore
from tests.support.http_servers import content, serving
from tests.support.tiny_store import NAME, archived, checkpoint, tiny_store

DAMAGED = ModelCorruptError.exit_status


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return tiny_store(tmp_path / "models")


def run(store: ModelStore, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["models", *arguments])
    status: int = options.handler(store, options)
    return status


def test_list_shows_how_to_install_a_model(store: ModelStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "list") == 0
    heading, line, _, variants = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "STATE", "SIZE", "LICENCE", "SOURCE"]
    assert line.startswith("tiny  available  0 MB  MIT (Deezer SA)  spleeter-microservice models pull tiny")
    assert "tiny-16kHz" in variants


def test_an_imported_model_is_listed_verified_and_removed(
    store: ModelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(tmp_path / "checkpoint")
    assert run(store, "import", NAME, str(path)) == 0
    assert capsys.readouterr().out == f"tiny: installed in {store.folder / 'tiny'}.\n"
    model = store.find(NAME)
    run(store, "list")
    line = capsys.readouterr().out.splitlines()[1]
    assert f"installed {model.manifest.installed[:10]}" in line
    assert line.endswith(str(path))
    run(store, "list", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["installed"], row["size"]) == (
        "installed",
        model.manifest.installed,
        model.manifest.size,
    )
    assert run(store, "verify") == 0
    assert capsys.readouterr().out == "tiny: intact, 6 files.\n"
    assert run(store, "remove", f"spleeter:{NAME}") == 0
    assert capsys.readouterr().out == "tiny: removed.\n"
    assert run(store, "verify") == 0
    assert capsys.readouterr().out == "No model is installed.\n"


def test_verify_returns_the_status_of_a_damaged_model(
    store: ModelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.import_(NAME, checkpoint(tmp_path / "checkpoint"))
    (store.find(NAME).folder / "vocals.bin").write_bytes(b"")
    assert run(store, "verify") == run(store, "verify", NAME) == DAMAGED
    assert "tiny: damaged. " in capsys.readouterr().out
    (store.folder / NAME / "manifest.json").write_text("")
    assert run(store, "verify") == DAMAGED
    run(store, "list")
    assert "tiny  damaged" in capsys.readouterr().out


def test_pull_installs_every_named_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(content(archived())) as mirror:
        store = tiny_store(tmp_path, mirror.url)
        assert run(store, "pull", NAME, f"{NAME}-16kHz") == 0
    assert capsys.readouterr().out == f"tiny: installed in {tmp_path / 'tiny'}.\n" * 2
    assert run(store, "verify", NAME) == 0


def test_unknown_and_missing_models_are_errors(store: ModelStore) -> None:
    for action in ("pull", "verify", "remove"):
        with pytest.raises(UnknownModelError):
            run(store, action, "3stems")
    for action in ("verify", "remove"):
        with pytest.raises(ModelNotInstalledError):
            run(store, action, NAME)
