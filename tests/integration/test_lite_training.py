# ruff: noqa: E402  (what needs PyTorch is imported once it is known to be there)
"""Music is synthesised reproducibly; a network learns from it, goes on after a break, and is exported."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.separation.architecture import CASCADE_GRAPH
from spleeter_microservice.training.lite import kits, mma, soundfonts, synthesis
from spleeter_microservice.training.lite.cast import Cast
from tests.missing import missing
from tests.torch_needed import need_torch

need_torch()

import onnxruntime as ort
import torch

from spleeter_microservice.training.lite import train as training
from spleeter_microservice.training.lite.bands import BINS, spread
from spleeter_microservice.training.lite.export import FRAMES, export, export_with_record
from spleeter_microservice.training.lite.features import features
from spleeter_microservice.training.lite.feed import Feed, FeedOptions
from spleeter_microservice.training.lite.network import LiteNetwork
from spleeter_microservice.training.lite.train import CHECKPOINT, LOG, TrainingOptions

SEED, SECONDS = 1, 6.0
PIECES = ((Cast.FIRST, 0), (Cast.SECOND, 50_001))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces to train on and to choose by, and a voice."""
    fonts = [*soundfonts.TRAINED, *soundfonts.SECOND, soundfonts.HELD_OUT]
    drums = [kits.FOLDER / kit for kit in (*kits.TRAINED, *kits.SECOND, kits.HELD_OUT)]
    for path in (mma.STYLES, *drums, *(font.path for font in fonts)):
        if not path.exists():
            missing(f"{path} is not there (make components installs what music is synthesised with)")
    for program in ("mma", "fluidsynth", "timidity"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("data")
    list(synthesis.synthesise(folder, [0, 1], Cast.FIRST, SEED, 1, SECONDS))
    list(synthesis.synthesise(folder, [50_001], Cast.SECOND, SEED, 1, SECONDS))
    list(synthesis.synthesise(folder, [100_000], Cast.HELD_OUT, SEED, 1, SECONDS))
    synthesis.make_voices(folder, 1, SEED)
    return folder


@pytest.mark.parametrize(("cast", "piece"), PIECES)
def test_a_piece_depends_on_its_number_and_the_seed_alone(
    data: Path, tmp_path: Path, cast: Cast, piece: int
) -> None:
    first = [track for track in synthesis.tracks(data) if track.piece == piece]
    assert synthesis.make_piece(tmp_path, cast, SEED, piece, SECONDS) == first
    assert len({track.stem for track in first}) == len(first) > 1
    for track in first:
        assert (data / track.file).stat().st_size == track.samples * 4


def test_validation_uses_only_what_was_held_out(data: Path) -> None:
    for track in synthesis.tracks(data):
        held_out = {soundfonts.HELD_OUT.name, kits.HELD_OUT, f"{soundfonts.HELD_OUT.name}+additive"}
        assert (track.source in held_out) == track.validation


def test_a_training_learns_goes_on_and_is_exported_with_its_record(data: Path, tmp_path: Path) -> None:
    feed = FeedOptions(data, batch=2, frames=64, held=8)
    options = TrainingOptions(feed, tmp_path / "run", minutes=0.02)
    training.train(options)
    training.train(replace(options, minutes=0.04))
    log = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert log[-1]["steps"] > log[0]["steps"] > 0
    assert np.isfinite(log[-1]["loss"])
    assert (tmp_path / "run" / CHECKPOINT).exists()

    export_with_record(tmp_path / "run", data, tmp_path, "0" * 40, None)
    record = json.loads((tmp_path / "lite.json").read_text())
    assert record["data"]["pieces"] == 3
    assert record["size"] == (tmp_path / CASCADE_GRAPH).stat().st_size
    assert record["arguments"]["feed"]["data"] == data.name


def test_processes_that_train_together_learn_the_same_from_examples_of_their_own(
    data: Path, tmp_path: Path
) -> None:
    options = TrainingOptions(FeedOptions(data, batch=2, frames=64, held=8), tmp_path, 0.05, processes=2)
    torch.multiprocessing.spawn(train_and_save, (options, f"file://{tmp_path}/peers"), 2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    trained = dict(LiteNetwork().named_parameters())
    assert all(torch.equal(first[name], second[name]) for name in trained)
    averages = [name for name in first if name.endswith("running_mean")]
    assert not any(torch.equal(first[name], second[name]) for name in averages)


def train_and_save(rank: int, options: TrainingOptions, meeting: str) -> None:
    with training.joined(rank, options, meeting):
        trained = training.Training(options, rank)
        trained.run()
    torch.save(trained.network.state_dict(), options.output / f"{rank}.pt")


def test_examples_that_nobody_makes_any_more_end_the_training(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="run the command again"):
        next(Feed(FeedOptions(tmp_path / "nothing")).batches())


def test_the_same_examples_come_again_and_others_after_a_break_or_for_another_process(data: Path) -> None:
    options = FeedOptions(data, batch=2, frames=64)

    def first(rank: int, steps: int) -> torch.Tensor:
        feed = Feed(options, rank, steps)
        batch = next(feed.batches())
        feed.close()
        return batch[0]

    assert torch.equal(first(0, 0), first(0, 0))
    assert not torch.equal(first(0, 0), first(1, 0))
    assert not torch.equal(first(0, 0), first(0, 1))


def test_an_exported_network_gives_the_masks_of_the_trained_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LiteNetwork()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    network.eval()
    export(network, tmp_path / CASCADE_GRAPH)
    rng = np.random.default_rng(0)
    magnitude = np.abs(rng.standard_normal((2, FRAMES, BINS))).astype(np.float32) ** 3
    session = ort.InferenceSession(tmp_path / CASCADE_GRAPH)
    found = session.run(None, {"magnitude": magnitude[np.newaxis]})[0]
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    with torch.no_grad():
        wanted = spread(network(torch.from_numpy(features(magnitude))[None])[0].numpy())
    # Between the pairs of frames the exported network goes a quarter of the way to the next.
    before = np.concatenate([wanted[:, :, :1], wanted[:, :, :-1]], axis=2)
    after = np.concatenate([wanted[:, :, 1:], wanted[:, :, -1:]], axis=2)
    np.testing.assert_allclose(found[:, :, 0::2], 0.75 * wanted + 0.25 * before, atol=5e-3)
    np.testing.assert_allclose(found[:, :, 1::2], 0.75 * wanted + 0.25 * after, atol=5e-3)
