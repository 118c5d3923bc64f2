"""Export of a trained network to the file that the service runs, with a record of its provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from research.lite import convolutions, graph
from research.lite.convolutions import Convolutions
from research.lite.network import OUTPUTS, SHORTCUT_GAIN, LiteNetwork
from research.lite.score import STEMS
from research.lite.synthesis import tracks
from research.lite.train import ARGUMENTS, CHECKPOINT, LOG
from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import CASCADE_GRAPH

FRAMES = 512
"""Frames of a segment in the service."""

SOFTNESS = 0.8
"""Exponent of the stems' shares before normalisation: a network trained on few sounds is overconfident.

Chosen on the validation pieces (docs/decisions/0010-lite-models.md)."""


def load(checkpoint: Path) -> LiteNetwork:
    """Load the averaged network from a checkpoint of ``train``."""
    network = LiteNetwork()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    network.eval()
    return network


def folded(network: LiteNetwork) -> Convolutions:
    """Return the convolutions of a trained network, with normalisations and gains folded in."""
    found = {}
    for name, layer, gain in (("last", network.last, 1.0), ("shortcut", network.shortcut, SHORTCUT_GAIN)):
        found[name] = _array(layer.weight) * np.float32(gain), _array(layer.bias) * np.float32(gain)
    for part in ("down", "middle", "up"):
        for i, layer in enumerate(getattr(network, part)):
            convolution, norm = layer
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
            kernel = _array(convolution.weight) * scale[:, None, None, None]
            found[f"{part}.{i}"] = kernel, _array(norm.bias) - _array(norm.running_mean) * scale
    return found


class Averaged(nn.Module):  # type: ignore[misc]  # PyTorch is not always installed
    """The network that ``export`` writes, before the shares are spread over frames and bins.

    Args:
        networks: networks whose shares are averaged.
        softness: exponent of the stems' shares, which are normalised again to sum to 1.
    """

    def __init__(self, networks: Sequence[LiteNetwork], softness: float = SOFTNESS) -> None:
        super().__init__()
        self.networks, self._softness = nn.ModuleList(networks), softness

    def forward(self, features: Tensor) -> Tensor:
        """Compute shares of the same shape as a ``LiteNetwork``."""
        shares = torch.stack([network(features) for network in self.networks]).mean(0)
        stems, mistakes = shares.split([len(STEMS), OUTPUTS - len(STEMS)], 1)
        soft = stems**self._softness
        return torch.cat([soft / soft.sum(1, keepdim=True), mistakes], 1)


def export(networks: Sequence[Convolutions], path: Path, softness: float = 1.0) -> None:
    """Write the average of networks as the service runs it; ``softness`` as in ``graph.write``."""
    model = graph.write(networks, FRAMES, softness)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def export_with_record(
    output: Path,
    data: Path,
    folder: Path,
    commit: str,
    evaluation: Path | None,
    begun_with: Path | None = None,
) -> None:
    """Write the network of a training, and a record of its provenance.

    Args:
        output: folder of the training.
        data: folder of the pieces that it was trained on.
        folder: folder to write ``lite.onnx`` and ``lite.json`` to.
        commit: commit of the program that trained it.
        evaluation: report of ``evaluate --json`` on the network.
        begun_with: graph of the network that the training started from, to average the result with.
    """
    networks = [folded(load(output / CHECKPOINT))]
    if begun_with:
        networks.append(convolutions.read(begun_with))
    export(networks, folder / CASCADE_GRAPH, SOFTNESS)
    content = (folder / CASCADE_GRAPH).read_bytes()
    log = [json.loads(line) for line in (output / LOG).read_text(encoding="utf-8").splitlines()]
    arguments = json.loads((output / ARGUMENTS).read_text(encoding="utf-8"))
    del arguments["feed"]["base"]  # a local path; the weights of 2stems are fixed
    record = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "licence": "MIT",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit,
        "arguments": arguments,
        "softness": SOFTNESS,
        "averaged_with": begun_with and hashlib.sha256(begun_with.read_bytes()).hexdigest(),
        "training": log[-1],
        "data": _data(data),
        "evaluation": None if evaluation is None else _medians(evaluation),
    }
    (folder / "lite.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _data(folder: Path) -> Mapping[str, object]:
    """Describe the pieces, with a hash of all tracks' hashes in the order of their names."""
    found = sorted(tracks(folder), key=lambda track: track.file)
    digest = hashlib.sha256("".join(track.sha256 for track in found).encode("ascii"))
    return {
        "tracks": len(found),
        "pieces": len({track.piece for track in found if not track.validation}),
        "validation_pieces": len({track.piece for track in found if track.validation}),
        "sha256": digest.hexdigest(),
    }


def _medians(evaluation: Path) -> Mapping[str, object]:
    """Read the median SDR of each stem, in dB, from a report."""
    summary = json.loads(evaluation.read_text(encoding="utf-8"))["summary"]
    return {stem: round(scores["sdr"]["median"], 2) for stem, scores in summary.items()}


def _array(tensor: torch.Tensor | None) -> Array:
    assert tensor is not None
    array: Array = tensor.detach().numpy().astype(np.float32)
    return array
