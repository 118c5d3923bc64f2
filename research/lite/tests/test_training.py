"""Music is synthesised reproducibly; a network learns from it, is resumed, and is exported."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from research.lite import convolutions, graph, kits, soundfonts, synthesis
from research.lite import train as training
from research.lite.bands import BANDS, BINS, spread
from research.lite.cast import Cast
from research.lite.export import FRAMES, Averaged, export, export_with_record, folded
from research.lite.features import CHANNELS, features
from research.lite.feed import Feed, FeedOptions
from research.lite.network import TRUSTING, LiteNetwork
from research.lite.start import begin
from research.lite.train import CHECKPOINT, LOG, TrainingOptions
from spleeter_microservice.separation.spleeter.architecture import CASCADE_GRAPH
from spleeter_microservice.separation.spleeter.cascade import ACCOMPANIMENT_INPUT, PARTS, VOCALS_INPUT
from tests.support.lite_models import install, lite_store

torch.set_num_threads(1)  # networks this small are slower on more

SEED, SECONDS = 1, 6.0
PIECES = ((Cast.FIRST, 0), (Cast.SECOND, 50_001), (Cast.THIRD, 60_001))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pieces and voices for training and validation."""
    folder = tmp_path_factory.mktemp("data") / "made"
    synthesis.make_voices(folder, 2, SEED)
    list(synthesis.synthesise(folder, [0, 1], Cast.FIRST, SEED, 1, SECONDS))
    list(synthesis.synthesise(folder, [50_001], Cast.SECOND, SEED, 1, SECONDS))
    list(synthesis.synthesise(folder, [60_001], Cast.THIRD, SEED, 1, SECONDS))
    list(synthesis.synthesise(folder, [100_000], Cast.HELD_OUT, SEED, 1, SECONDS))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small 2-stem model."""
    folder = tmp_path_factory.mktemp("base")
    store = lite_store(folder / "store")
    install(store, "2stems", folder / "checkpoints")
    return store.find("2stems").folder


@pytest.mark.parametrize(("cast", "piece"), PIECES)
def test_a_piece_depends_only_on_its_number_cast_and_seed(
    data: Path, tmp_path: Path, cast: Cast, piece: int
) -> None:
    first = [track for track in synthesis.tracks(data) if track.piece == piece]
    assert synthesis.make_piece(tmp_path, cast, SEED, piece, SECONDS) == first
    assert len({track.stem for track in first}) == len(first) > 1
    for track in first:
        assert (data / track.file).stat().st_size == track.samples * 4


def test_a_voice_depends_only_on_its_number_and_seed(data: Path, tmp_path: Path) -> None:
    synthesis.make_voices(tmp_path, 2, SEED)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["held-out-voice-000.i16", "voice-000.i16", "voice-001.i16"]
    for name in made:
        assert (tmp_path / name).read_bytes() == (data / name).read_bytes()


def test_validation_uses_only_held_out_sounds(data: Path) -> None:
    for track in synthesis.tracks(data):
        held_out = {soundfonts.HELD_OUT.name, kits.HELD_OUT, f"{soundfonts.HELD_OUT.name}+additive"}
        assert (track.source in held_out) == track.validation


def test_a_training_can_be_resumed_and_exported_with_its_record(
    data: Path, base: Path, tmp_path: Path
) -> None:
    feed = FeedOptions(data, base, batch=2, frames=64, held=8)
    options = TrainingOptions(feed, tmp_path / "run", minutes=0.02)
    training.train(options)
    training.train(replace(options, minutes=0.04))
    log = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert log[-1]["steps"] > log[0]["steps"] > 0
    assert np.isfinite(log[-1]["loss"])
    assert (tmp_path / "run" / CHECKPOINT).exists()

    (tmp_path / "earlier").mkdir()
    export_with_record(tmp_path / "run", data, tmp_path / "earlier", "0" * 40, None)
    earlier = tmp_path / "earlier" / CASCADE_GRAPH
    again = replace(options, output=tmp_path / "again", begin=earlier)
    training.train(again)
    export_with_record(again.output, data, tmp_path, "0" * 40, None, earlier)
    record = json.loads((tmp_path / "lite.json").read_text())
    assert record["data"]["pieces"] == 4
    assert record["size"] == (tmp_path / CASCADE_GRAPH).stat().st_size
    assert record["arguments"]["feed"]["data"] == data.name
    assert record["arguments"]["begin"] == record["averaged_with"] == sha256(earlier.read_bytes()).hexdigest()


def test_processes_that_train_together_learn_the_same_from_different_examples(
    data: Path, base: Path, tmp_path: Path
) -> None:
    options = TrainingOptions(
        FeedOptions(data, base, batch=2, frames=64, held=8), tmp_path, 0.05, processes=2
    )
    torch.multiprocessing.spawn(train_and_save, (options, f"file://{tmp_path}/peers"), 2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    trained = dict(LiteNetwork().named_parameters())
    assert all(torch.equal(first[name], second[name]) for name in trained)
    averages = [name for name in first if name.endswith("running_mean")]
    assert not any(torch.equal(first[name], second[name]) for name in averages)


def train_and_save(rank: int, options: TrainingOptions, rendezvous: str) -> None:
    with training.joined(rank, options, rendezvous):
        trained = training.Training(options, rank)
        trained.run()
    torch.save(trained.network.state_dict(), options.output / f"{rank}.pt")


def test_a_training_ends_if_no_process_makes_examples(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="run the command again"):
        next(Feed(FeedOptions(tmp_path / "nothing", base)).batches())


def test_examples_are_reproducible_but_differ_by_process_and_after_a_resume(data: Path, base: Path) -> None:
    options = FeedOptions(data, base, batch=2, frames=64)

    def first(rank: int, steps: int) -> torch.Tensor:
        feed = Feed(options, rank, steps)
        batch = next(feed.batches())
        feed.close()
        return batch[0]

    assert torch.equal(first(0, 0), first(0, 0))
    assert not torch.equal(first(0, 0), first(1, 0))
    assert not torch.equal(first(0, 0), first(0, 1))


def test_exported_networks_compute_the_softened_mean_of_their_shares(tmp_path: Path) -> None:
    networks = [random_network(seed) for seed in range(2)]
    export([folded(network) for network in networks], tmp_path / CASCADE_GRAPH, softness=0.5)
    rng = np.random.default_rng(0)
    magnitudes = np.abs(rng.standard_normal((2, 2, FRAMES, BINS))).astype(np.float32) ** 3
    session = ort.InferenceSession(tmp_path / CASCADE_GRAPH)
    inputs = dict(zip((ACCOMPANIMENT_INPUT, VOCALS_INPUT), magnitudes[:, np.newaxis], strict=True))
    found = session.run(None, inputs)[0]
    np.testing.assert_allclose(found[: len(PARTS)].sum(axis=0), 1, atol=1e-5)
    with torch.no_grad():
        seen = torch.from_numpy(features(*magnitudes))[None]
        wanted = spread(Averaged(networks, 0.5)(seen)[0].numpy())
    # The exported network interpolates: each frame is a quarter of the way to the neighbouring pair.
    before = np.concatenate([wanted[:, :, :1], wanted[:, :, :-1]], axis=2)
    after = np.concatenate([wanted[:, :, 1:], wanted[:, :, -1:]], axis=2)
    np.testing.assert_allclose(found[:, :, 0::2], 0.75 * wanted + 0.25 * before, atol=5e-3)
    np.testing.assert_allclose(found[:, :, 1::2], 0.75 * wanted + 0.25 * after, atol=5e-3)


def test_a_training_can_start_from_a_smaller_network(tmp_path: Path) -> None:
    earlier = random_network()
    unseen = (CHANNELS - 2, CHANNELS - 1)  # inputs that the smaller network does not have
    with torch.no_grad():
        for layer in (earlier.down[0][0], earlier.shortcut):
            layer.weight[:, unseen] = 0
        for layer, rows in ((earlier.last, 4 * 2 * len(PARTS)), (earlier.shortcut, 2 * len(PARTS))):
            layer.weight[rows:] = 0
            layer.bias[rows:] = TRUSTING if layer is earlier.last else 0
    smaller = dict(folded(earlier))
    for name in ("down.0", "shortcut"):
        smaller[name] = np.delete(smaller[name][0], unseen, 1), smaller[name][1]
    for name, rows in (("last", 4 * 2 * len(PARTS)), ("shortcut", 2 * len(PARTS))):
        smaller[name] = smaller[name][0][:rows], smaller[name][1][:rows]
    (tmp_path / "lite.onnx").write_bytes(graph.write([smaller], FRAMES).SerializeToString())
    seen = torch.rand(3, CHANNELS, 32, BANDS, generator=torch.Generator().manual_seed(1))
    network = LiteNetwork()
    begin(network, convolutions.read(tmp_path / "lite.onnx"), seen)
    for training_ in (False, True):  # normalised by stored statistics, then by those of the batch
        network.train(training_)
        with torch.no_grad():
            np.testing.assert_allclose(network(seen), earlier(seen), atol=5e-3)


def test_a_training_cannot_start_from_an_average_of_networks(tmp_path: Path) -> None:
    export([folded(random_network(seed)) for seed in range(2)], tmp_path / "lite.onnx")
    with pytest.raises(ValueError, match="exported without --begin"):
        convolutions.read(tmp_path / "lite.onnx")


def random_network(seed: int = 0) -> LiteNetwork:
    torch.manual_seed(seed)
    network = LiteNetwork()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    network.eval()
    return network
