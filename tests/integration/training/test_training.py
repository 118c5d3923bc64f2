"""Complete trainings of a tiny network: it learns, is exported, is resumed, and is fine-tuned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from spleeter_microservice.errors import (
    CheckpointError,
    ConfigurationError,
    StemLengthError,
    TrainingDataError,
    TrainingDivergedError,
    TrainingStateError,
    TruncatedInputError,
)
from spleeter_microservice.models.installer import read_installed_weights
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.tensorflow.checkpoint_reader import data_sha256, read_checkpoint
from spleeter_microservice.separation.spleeter import masks
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.settings import Settings
from spleeter_microservice.training.configuration import read_training_configuration
from spleeter_microservice.training.devices import Precision, choose
from spleeter_microservice.training.session import Base, Request, run_training
from spleeter_microservice.training.torch_networks import TorchNetworks
from spleeter_microservice.training.training_data import TrainingData
from spleeter_microservice.training.training_state import load_state
from tests.support.song_folders import stems, write_musdb, write_song
from tests.support.training_events import numbers
from tests.support.training_songs import (
    INSTRUMENTS,
    tones_and_noise,
    write_configuration,
    write_list,
    write_songs,
)

pytestmark = pytest.mark.slow

torch.set_num_threads(1)  # networks this small are slower on more

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class Listener:
    """A recording listener, which can raise KeyboardInterrupt after a step, as Ctrl-C does."""

    def __init__(self, interrupt_after: int = 0) -> None:
        self.interrupt_after = interrupt_after
        self.steps: list[int] = []
        self.losses: list[tuple[int, float, float | None]] = []
        self.started_at = -1

    def on_start(self, step: int, device: str, bf16: bool, data: TrainingData) -> None:
        self.started_at = step

    def on_step(self, step: int, loss: float | None) -> None:
        self.steps.append(step)
        if step == self.interrupt_after:
            raise KeyboardInterrupt

    def on_checkpoint(self, step: int, training: float, validation: float | None) -> None:
        self.losses.append((step, training, validation))


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_songs(tmp_path_factory.mktemp("songs"))


def train(
    tmp_path: Path,
    songs: Path,
    listener: Listener | None = None,
    output: str = "model",
    base: Base | None = None,
    validation: Path | None = None,
    precision: Precision = "float32",
    **changes: Any,
) -> Path:
    configuration = read_training_configuration(write_configuration(tmp_path / "config.json", **changes))
    request = Request(configuration, songs, tmp_path / output, validation, base, "cpu", precision)
    return run_training(request, listener or Listener(), lambda what, done, total: None)


def record(output: Path) -> dict[str, Any]:
    content = json.loads((output / "training.json").read_text())
    assert isinstance(content, dict)
    return content


def weights(exported: Path) -> dict[str, Array]:
    architecture = UNetArchitecture.from_configuration(json.loads(exported.read_text()))
    return dict(read_checkpoint(exported.parent, architecture))


def test_the_loss_falls_and_the_training_is_recorded(tmp_path: Path, songs: Path) -> None:
    listener = Listener()
    exported = train(tmp_path, songs, listener, validation=songs, train_max_steps=30)
    assert exported == tmp_path / "model" / "config.json"
    (_, _, first), *_, (last_step, _, last) = listener.losses
    assert last_step == 30
    assert first is not None
    assert last is not None
    assert last < 0.8 * first
    assert listener.steps == list(range(1, 31))
    written = record(exported.parent)
    assert [entry["step"] for entry in written["losses"]] == [10, 20, 30]
    assert sum(written["losses"][-1]["validation"]) == pytest.approx(last)
    assert written["arguments"]["data"] == str(songs)
    assert written["configuration"]["learning_rate"] == 1e-2
    assert torch.__version__.startswith(written["versions"]["torch"])  # one may lack "+cu130"
    assert set(written["data"]["files"]) == {str(path) for path in songs.rglob("*.wav")}
    assert len(written["data"]["sha256"]) == 64
    assert written["commit"] is None or len(written["commit"].rstrip("+")) == 40
    curves = numbers(exported.parent / "logs" / "train")
    assert [step for step, _ in curves["loss"]] == [1, *range(5, 31, 5)]
    assert set(curves) == {"loss", "steps_per_second", *(f"loss/{name}" for name in INSTRUMENTS)}
    validated = numbers(exported.parent / "logs" / "validation")["loss"]
    assert [step for step, _ in validated] == [10, 20, 30]
    assert validated[-1][1] == pytest.approx(last, rel=1e-5)


@pytest.mark.parametrize("kind", ["unet.unet", "unet.softmax_unet"])
def test_the_exported_network_equals_the_trained_one(tmp_path: Path, songs: Path, kind: str) -> None:
    parameters = {"conv_activation": "ELU", "deconv_activation": "ELU", "conv_n_filters": [2, 3, 4, 4, 4, 4]}
    exported = train(
        tmp_path, songs, model={"type": kind, "params": parameters}, loss_type="weighted_L1_mask"
    )
    model = find_model(str(exported), ModelStore(tmp_path / "store"))
    state = load_state(exported.parent / "training")
    assert state is not None
    networks = TorchNetworks(model.architecture, weights(exported))
    networks.load(state.variables)
    magnitude = np.random.default_rng(0).exponential(1, (1, 2, 64, 64)).astype(np.float32)
    with torch.no_grad():
        trained = networks.estimates(torch.from_numpy(magnitude)).numpy()
    assert_same_masks(model.folder, model.architecture, magnitude, trained)


def assert_same_masks(folder: Path, architecture: UNetArchitecture, magnitude: Array, found: Array) -> None:
    engine = OnnxNetworks(folder, architecture, cores=1)
    outputs = [engine.run(k, magnitude) for k in range(len(architecture.stems))]
    expected = masks.stem_magnitudes(architecture, outputs, magnitude.copy())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one / magnitude, other / magnitude, rtol=0, atol=1e-4)
    ratios = masks.ratio_masks([estimate.copy() for estimate in found])
    for one, other in zip(ratios, masks.ratio_masks(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_a_resumed_training_ends_as_an_uninterrupted_one(tmp_path: Path, songs: Path) -> None:
    settings: dict[str, Any] = {
        "random_data_augmentation": True,
        "train_max_steps": 10,
        "save_checkpoints_steps": 3,
    }
    whole = weights(train(tmp_path, songs, output="whole", **settings))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, songs, Listener(interrupt_after=5), output="broken", **settings)
    listener = Listener()
    exported = train(tmp_path, songs, listener, output="broken", **settings)
    assert (listener.started_at, listener.steps[0]) == (3, 4)
    for name, array in weights(exported).items():
        np.testing.assert_allclose(array, whole[name], rtol=0, atol=1e-6, err_msg=name)
    assert [entry["step"] for entry in record(exported.parent)["losses"]] == [3, 6, 9, 10]


def test_a_finished_training_is_not_repeated_but_can_be_extended(tmp_path: Path, songs: Path) -> None:
    before = data_sha256(train(tmp_path, songs, train_max_steps=4).parent)
    listener = Listener()
    assert data_sha256(train(tmp_path, songs, listener, train_max_steps=4).parent) == before
    assert (listener.started_at, listener.steps) == (4, [])
    assert data_sha256(train(tmp_path, songs, listener, train_max_steps=6).parent) != before
    assert listener.steps == [5, 6]
    exported = train(tmp_path, write_songs(tmp_path / "others", 1), batch_size=3, train_max_steps=7)
    assert record(exported.parent)["data"]["notes"] == [
        "batch_size is 3, and was 2 before this training was resumed",
        "the songs are not those that this training was begun with",
    ]


def test_two_states_and_one_model_are_kept(tmp_path: Path, songs: Path) -> None:
    output = train(tmp_path, songs, train_max_steps=8, save_checkpoints_steps=2).parent
    assert sorted(path.name for path in (output / "training").glob("*.pt")) == [
        "step-000000006.pt",
        "step-000000008.pt",
    ]
    assert [path.name for path in output.glob("*.index")] == ["model-8.index"]


def test_a_list_and_a_folder_of_the_same_songs_yield_the_same_weights(tmp_path: Path, songs: Path) -> None:
    names = [f"song {k}" for k in range(3)]
    by_folder = train(tmp_path, songs, output="folder", train_max_steps=3)
    write_list(tmp_path / "train.csv", names)
    write_list(tmp_path / "validation.csv", names[:1])
    by_list = train(
        tmp_path,
        songs,
        output="list",
        train_csv="train.csv",  # beside the configuration
        validation_csv=str(tmp_path / "validation.csv"),
        training_cache=None,
        train_max_steps=3,
    )
    for name, array in weights(by_list).items():
        np.testing.assert_array_equal(array, weights(by_folder)[name])
    assert record(by_list.parent)["losses"][-1]["validation"] is not None


def test_a_folder_of_musdb_can_be_trained_on_unchanged(tmp_path: Path) -> None:
    for name in ("A Classic Education - NightOwl", "Young Griffo - Pennies"):
        write_musdb(
            tmp_path / "musdb" / "train" / f"{name}.stem.mp4", stems("drums", "bass", "other", "vocals")
        )
    (tmp_path / "musdb" / "test").mkdir()
    (tmp_path / "musdb" / "test" / "never read.stem.mp4").write_text("not audio")
    four = ["vocals", "drums", "bass", "other"]
    found = record(train(tmp_path, tmp_path / "musdb", instrument_list=four, train_max_steps=1).parent)
    assert (found["data"]["training_chunks"], found["data"]["validation_chunks"]) == (2, 1)
    assert len(found["losses"][0]["validation"]) == 4


def test_a_truncated_stem_is_an_error_that_names_it(tmp_path: Path) -> None:
    songs = write_songs(tmp_path / "songs", 1)
    broken = songs / "song 0" / "vocals.wav"
    broken.write_bytes(broken.read_bytes()[:100_000])
    for cache in (None, str(tmp_path / "cache")):
        with pytest.raises(TruncatedInputError, match=r"vocals\.wav"):
            train(tmp_path, songs, training_cache=cache, n_chunks_per_song=4)


def test_spectrograms_are_cached_and_reused(tmp_path: Path, songs: Path) -> None:
    caches: dict[str, Any] = {"training_cache": str(tmp_path / "a"), "validation_cache": str(tmp_path / "b")}
    plain = record(train(tmp_path, songs, output="plain", train_max_steps=2).parent)
    cached = record(train(tmp_path, songs, validation=songs, train_max_steps=2, **caches).parent)
    assert cached["losses"][0]["training"] == pytest.approx(plain["losses"][0]["training"], rel=1e-3)
    assert len(list((tmp_path / "a").rglob("*.npy"))) == 18
    assert len(list((tmp_path / "b").rglob("*.npy"))) == 9


def test_training_in_bfloat16_is_nearly_the_same(tmp_path: Path, songs: Path) -> None:
    found = {
        precision: record(
            train(tmp_path, songs, output=precision, precision=precision, train_max_steps=2).parent
        )
        for precision in get_args(Precision)[1:]
    }
    assert (found["float32"]["bf16"], found["bf16"]["bf16"]) == (False, True)
    single, half = (sum(found[precision]["losses"][0]["training"]) for precision in ("float32", "bf16"))
    assert half != single
    assert half == pytest.approx(single, rel=0.02)


def test_the_device_defaults_to_cuda_if_it_is_available() -> None:
    assert choose("cpu", "float32").device == torch.device("cpu")
    assert choose("auto", "auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigurationError, match="CUDA was requested"):
            choose("cuda", "auto")


@pytest.mark.parametrize("optimizer", ["Adadelta", "SGD"])
def test_every_optimizer_of_spleeter_changes_the_weights(tmp_path: Path, songs: Path, optimizer: str) -> None:
    first = weights(train(tmp_path, songs, output="1", optimizer=optimizer, train_max_steps=1))
    last = weights(train(tmp_path, songs, output="5", optimizer=optimizer, train_max_steps=3))
    assert any(not np.array_equal(first[name], last[name]) for name in first)


def test_fine_tuning_starts_from_the_given_weights(tmp_path: Path, songs: Path) -> None:
    exported = train(tmp_path, songs, output="first", train_max_steps=3)
    given = weights(exported)
    architecture = UNetArchitecture.from_configuration(json.loads(exported.read_text()))
    base = Base("first", "0" * 64, architecture, given)
    tuned = train(tmp_path, songs, output="tuned", base=base, train_max_steps=1, learning_rate=1e-6)
    for name, array in weights(tuned).items():
        np.testing.assert_allclose(array, given[name], rtol=0, atol=2e-6)
    train(
        tmp_path, songs, output="tuned", train_max_steps=2
    )  # a resumed training keeps the record of its base
    assert record(tuned.parent)["base"] == {"name": "first", "sha256": "0" * 64}
    renamed = train(
        tmp_path, write_renamed(tmp_path / "renamed"), output="renamed", base=base, train_max_steps=1,
        instrument_list=["speech", "music"], learning_rate=1e-6,
    )  # fmt: skip
    np.testing.assert_allclose(weights(renamed)["conv2d/kernel"], given["conv2d/kernel"], rtol=0, atol=2e-6)
    for wrong in (
        replace(architecture, kind="softmax_unet"),
        replace(architecture, stems=("a", "b", "c")),
    ):
        with pytest.raises(CheckpointError, match=r"weights of other do not fit .* to (2|3) names"):
            train(tmp_path, songs, output="wrong", base=Base("other", "", wrong, given))


def write_renamed(folder: Path) -> Path:
    waveforms = tones_and_noise(9)
    write_song(folder / "song", {"speech": waveforms["vocals"], "music": waveforms["accompaniment"]})
    return folder


def test_fine_tuning_the_weights_of_deezer_starts_with_the_masks_of_deezer(model_settings: Settings) -> None:
    model = find_model("2stems", ModelStore(model_settings.models_dir))
    given = read_installed_weights(model)
    narrow = replace(model.architecture, bins=128)  # the weights fit any number of bins
    random = np.random.default_rng(0)
    magnitude = random.exponential(1, (1, 2, 512, 128)).astype(np.float32) * 10
    with torch.no_grad():
        found = TorchNetworks(narrow, given.arrays).estimates(torch.from_numpy(magnitude)).numpy()
    assert_same_masks(model.folder, narrow, magnitude, found)


def test_a_folder_with_another_model_or_a_broken_state_is_refused(tmp_path: Path, songs: Path) -> None:
    train(tmp_path, songs, train_max_steps=1)
    with pytest.raises(TrainingStateError, match=r"training of another model, with different bins"):
        train(tmp_path, songs, F=128)
    (state,) = (tmp_path / "model" / "training").glob("*.pt")
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingStateError, match=r"step-000000001.pt cannot be read.*Remove it"):
        train(tmp_path, songs)


def test_a_loss_that_is_not_finite_ends_the_training_before_anything_is_saved(
    tmp_path: Path, songs: Path
) -> None:
    with pytest.raises(TrainingDivergedError, match="Lower learning_rate"):
        train(tmp_path, songs, optimizer="SGD", learning_rate=1e30)
    assert not list((tmp_path / "model").glob("*.index"))


def test_only_one_training_can_use_a_folder_at_a_time(tmp_path: Path, songs: Path) -> None:
    class Second(Listener):
        def on_step(self, step: int, loss: float | None) -> None:
            with pytest.raises(ConfigurationError, match="Another process is training into"):
                train(tmp_path, songs)

    train(tmp_path, songs, Second(), train_max_steps=1)


def test_songs_shorter_than_a_segment_are_left_out_and_noted(tmp_path: Path) -> None:
    write_songs(tmp_path / "data" / "long", 1)
    write_songs(tmp_path / "data" / "short", 1, seconds=0.05)
    exported = train(tmp_path, tmp_path / "data", train_max_steps=1)
    assert record(exported.parent)["data"]["notes"] == [
        "short/song 0 is left out: it is shorter than one segment"
    ]
    with pytest.raises(TrainingDataError, match=r"All songs are shorter than one segment, 0\.10 s"):
        train(tmp_path, tmp_path / "data" / "short", output="none")


def test_a_list_with_too_long_a_duration_is_refused(tmp_path: Path, songs: Path) -> None:
    path = write_list(tmp_path / "train.csv", ["song 0"])
    path.write_text(path.read_text().replace("1.0", "1.9"))
    for cache in (None, str(tmp_path / "cache")):
        with pytest.raises(
            StemLengthError, match=r"ends before .* line 2 is listed with a duration of 1.90 s"
        ):
            train(tmp_path, songs, train_csv=str(path), training_cache=cache)
