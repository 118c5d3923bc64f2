"""Models of configuration files in Spleeter's format are found, read and cached."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spleeter_microservice.errors import CheckpointError, ConfigurationError, ModelNotInstalledError
from spleeter_microservice.models.custom import load_configured
from spleeter_microservice.models.installer import read_installed_weights
from spleeter_microservice.models.provide import identify_model
from spleeter_microservice.models.store import ModelStore
from tests.support.tiny_store import ARCHITECTURE, NAME, archive, arrays, checkpoint, tiny_store


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return tiny_store(tmp_path / "store")


def configuration(path: Path, model_dir: object, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "instrument_list": ARCHITECTURE.stems,
        "sample_rate": ARCHITECTURE.sample_rate,
        "frame_length": ARCHITECTURE.n_fft,
        "frame_step": ARCHITECTURE.hop_length,
        "T": ARCHITECTURE.segment_frames,
        "F": ARCHITECTURE.bins,
        "model": {"type": "unet.unet", "params": {"conv_n_filters": ARCHITECTURE.conv_n_filters}},
        "model_dir": model_dir,
    }
    path.write_text(json.dumps(values | changes))
    return path


def assert_weights(store: ModelStore, path: Path, model_path: Path | None = None, seed: int = 0) -> None:
    model = load_configured(store, path, model_path)
    assert model.name == str(path)
    found = read_installed_weights(model).arrays
    assert found.keys() == arrays(seed).keys()
    for name, array in arrays(seed).items():
        np.testing.assert_array_equal(found[name], array)


def test_model_dir_may_be_absolute(store: ModelStore, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "elsewhere")
    assert_weights(store, configuration(tmp_path / "a" / "config.json", str(folder)))


def test_model_dir_may_be_beside_the_configuration(store: ModelStore, tmp_path: Path) -> None:
    checkpoint(tmp_path / "a" / "weights")
    assert_weights(store, configuration(tmp_path / "a" / "config.json", "weights"))


def test_model_dir_may_be_the_directory_of_the_configuration(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint(tmp_path / "weights")
    configuration(tmp_path / "weights" / "config.json", "weights")
    monkeypatch.chdir(tmp_path / "weights")
    assert_weights(store, Path("config.json"))


def test_model_dir_may_be_in_model_path_after_nearer_directories(store: ModelStore, tmp_path: Path) -> None:
    checkpoint(tmp_path / "pretrained" / "weights")
    path = configuration(tmp_path / "a" / "config.json", "weights")
    assert_weights(store, path, tmp_path / "pretrained")
    checkpoint(tmp_path / "a" / "weights", seed=1)
    assert_weights(store, path, tmp_path / "pretrained", seed=1)


def test_networks_are_kept_until_the_weights_or_the_networks_change(
    store: ModelStore, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "weights")
    path = configuration(tmp_path / "config.json", "weights")
    first = load_configured(store, path)
    assert load_configured(store, path) == first
    wider = load_configured(store, configuration(path, "weights", F=1536, mask_extension="average"))
    assert (wider.folder, wider.architecture.bins) == (first.folder, 1536)
    assert wider.architecture.mask_extension == "average"
    longer = load_configured(store, configuration(path, "weights", T=128))
    assert longer.folder != first.folder
    checkpoint(folder, seed=1)
    assert_weights(store, path, seed=1)


def test_damaged_networks_are_built_again(store: ModelStore, tmp_path: Path) -> None:
    checkpoint(tmp_path / "weights")
    path = configuration(tmp_path / "config.json", "weights")
    (load_configured(store, path).folder / "vocals.bin").write_bytes(b"")
    assert_weights(store, path)


def test_a_damaged_checkpoint_is_refused_at_each_use(store: ModelStore, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "weights")
    path = configuration(tmp_path / "config.json", "weights")
    load_configured(store, path)
    data = folder / "model.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-9] + b"x" + data.read_bytes()[-8:])
    for _ in range(2):
        with pytest.raises(CheckpointError, match="is damaged: its CRC-32C"):
            load_configured(store, path)


def test_the_name_of_a_model_means_its_installed_weights_with_these_settings(
    store: ModelStore, tmp_path: Path
) -> None:
    installed = store.import_(NAME, archive(tmp_path / "tiny.zip"))
    path = configuration(tmp_path / "config.json", NAME, F=512)
    model = load_configured(store, path)
    assert model.folder == installed.folder
    assert model.architecture == replace(ARCHITECTURE, bins=512)
    assert identify_model(str(path), store) == (model.architecture, model.manifest.weights_sha256)
    assert_weights(store, configuration(path, NAME, T=128))
    other = {"type": "unet.unet", "params": {"conv_n_filters": [2, 3, 4, 4, 4, 8]}}
    with pytest.raises(CheckpointError, match=r"weights of tiny do not fit .* is \(4,\), expected \(8,\)"):
        load_configured(store, configuration(path, NAME, model=other))
    with pytest.raises(CheckpointError, match=r"do not fit .*expected none"):
        load_configured(store, configuration(path, NAME, instrument_list=["vocals", "other"]))


def test_a_model_that_is_not_installed_is_refused_with_the_command_that_installs_it(
    store: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotInstalledError, match="models pull tiny"):
        load_configured(store, configuration(tmp_path / "config.json", NAME))


@pytest.mark.parametrize("model_dir", [None, "", 3])
def test_a_configuration_without_model_dir_is_refused(
    store: ModelStore, tmp_path: Path, model_dir: object
) -> None:
    with pytest.raises(ConfigurationError, match="lacks model_dir"):
        load_configured(store, configuration(tmp_path / "config.json", model_dir))


def test_a_missing_model_dir_is_refused(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'nowhere', which is neither a directory"):
        load_configured(store, configuration(tmp_path / "config.json", "nowhere"), tmp_path / "pretrained")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="holds 0 checkpoints"):
        load_configured(store, configuration(tmp_path / "config.json", "empty"))
