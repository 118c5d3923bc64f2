"""The architecture of a Spleeter model: its stems, its spectrogram and its layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from spleeter_microservice.errors import ConfigurationError

Activation = Literal["LeakyReLU", "ReLU", "ELU"]
Kind = Literal["unet", "softmax_unet", "cascade"]
MaskExtension = Literal["zeros", "average"]

KERNEL_SIZE = 5
MASK_KERNEL_SIZE = 4
LAYERS = 6

GRAPH_VERSION = 2
"""Version of the graphs that ``unet_graph`` writes; when it changes, installed models are rebuilt."""
GRAPH_INPUT = "magnitude"

CASCADE_GRAPH = "lite.onnx"
"""File of a cascade's second network, which turns the accompaniment's magnitudes into masks."""

_FORMER_NAMES = {"instruments": "stems", "frame_length": "n_fft", "frame_step": "hop_length"}
"""Present names of fields, by their names in manifests of version 0.1."""

_NOT_OF_NETWORKS = ("bins", "sample_rate", "n_fft", "hop_length", "mask_extension")
"""Fields that do not affect the networks."""


NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")
"""Names of the variables of a batch normalisation."""


@dataclass(frozen=True)
class Layer:
    """A convolution and the batch normalisation of its output or of what follows its activation.

    Attributes:
        name: name of the convolution in a TensorFlow checkpoint.
        kernel: shape of its kernel there, (height, width, in, out), or (height, width, out, in) if it is
            transposed.
        filters: number of its outputs.
        norm: name of the normalisation; the last layer has none.
    """

    name: str
    kernel: tuple[int, ...]
    filters: int
    norm: str = ""


@dataclass(frozen=True)
class UNetArchitecture:
    """One U-Net per stem over segments of the magnitude spectrogram.

    The definition is Deezer's (``spleeter/model/functions/unet.py``). Spleeter's configuration files
    call ``segment_frames`` T and ``bins`` F. A ``cascade`` is not a model of Deezer's: it adds a
    network to those of 2stems (``cascade.py``).
    """

    stems: tuple[str, ...]
    kind: Kind = "unet"
    conv_activation: Activation = "LeakyReLU"
    deconv_activation: Activation = "ReLU"
    conv_n_filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    bins: int = 1024
    segment_frames: int = 512
    sample_rate: int = 44100
    n_fft: int = 4096
    hop_length: int = 1024
    mask_extension: MaskExtension = "zeros"

    def __post_init__(self) -> None:
        """Raise if no networks can be built or run with these values.

        Raises:
            ConfigurationError: if a field is invalid; the message names it.
        """
        multiple = 2**LAYERS
        for problem, wrong in {
            "instrument_list must have at least two names, all different": len(self.stems) < 2
            or len(set(self.stems)) < len(self.stems),
            f"model.type must be one of {get_args(Kind)}": self.kind not in get_args(Kind),
            f"activations must be one of {get_args(Activation)}": not (
                {self.conv_activation, self.deconv_activation} <= set(get_args(Activation))
            ),
            f"conv_n_filters must be {LAYERS} positive numbers": len(self.conv_n_filters) != LAYERS
            or min(self.conv_n_filters) < 1,
            f"T and F must be positive multiples of {multiple}": self.bins < 1
            or self.segment_frames < 1
            or self.bins % multiple > 0
            or self.segment_frames % multiple > 0,
            "frame_step must divide frame_length": self.hop_length < 1 or self.n_fft % self.hop_length > 0,
            "F must not exceed frame_length / 2 + 1": self.bins > self.n_fft // 2 + 1,
            f"mask_extension must be one of {get_args(MaskExtension)}": self.mask_extension
            not in get_args(MaskExtension),
        }.items():
            if wrong:
                raise ConfigurationError(f"The model's configuration is invalid: {problem}.")

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Read the part of a Spleeter configuration (parsed JSON) that defines the model.

        Raises:
            ConfigurationError: if a required key is missing, or its value is not supported.
        """
        try:
            model = configuration["model"]
            params = model.get("params") or {}
            kind = str(model["type"]).removeprefix("unet.")
            if kind not in {"unet", "softmax_unet"}:
                raise ConfigurationError("model.type must be one of unet.unet, unet.softmax_unet.")
            if configuration.get("separation_exponent", 2) != 2:
                raise ConfigurationError("separation_exponent must be 2.")
            if configuration.get("n_channels", 2) != 2:
                raise ConfigurationError("n_channels must be 2.")
            return cls(
                stems=tuple(map(str, configuration["instrument_list"])),
                kind=kind,  # type: ignore[arg-type]  # checked in __post_init__
                conv_activation=params.get("conv_activation", "LeakyReLU"),
                deconv_activation=params.get("deconv_activation", "ReLU"),
                conv_n_filters=tuple(map(int, params.get("conv_n_filters", (16, 32, 64, 128, 256, 512)))),
                bins=int(configuration["F"]),
                segment_frames=int(configuration["T"]),
                sample_rate=int(configuration["sample_rate"]),
                n_fft=int(configuration["frame_length"]),
                hop_length=int(configuration["frame_step"]),
                mask_extension=configuration.get("mask_extension", "zeros"),
            )
        except KeyError as error:
            raise ConfigurationError(f"The model's configuration lacks the key {error}.") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigurationError(f"The model's configuration cannot be read: {error}.") from error

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read JSON values: some of the fields, by the names of this version or of 0.1."""
        values: dict[str, Any] = {
            _FORMER_NAMES.get(key, key): tuple(value) if isinstance(value, list) else value
            for key, value in config.items()
        }
        return cls(**values)

    def to_config(self) -> dict[str, Any]:
        """Return every field as a JSON value."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    def has_networks_of(self, other: Self) -> bool:
        """Return whether both have the same networks, which work with any number of bins."""
        same: dict[str, Any] = {name: getattr(other, name) for name in _NOT_OF_NETWORKS}
        return replace(self, **same) == other

    def variables(self) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of the variables in a TensorFlow checkpoint of this model.

        They are ordered by stem, then by layer.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for position in range(len(self.stems)):
            for layer in (*self.encoder(position), self.last_layer(position), *self.decoder(position)):
                shapes |= {f"{layer.name}/kernel": layer.kernel, f"{layer.name}/bias": (layer.filters,)}
                shapes |= {f"{layer.norm}/{part}": (layer.filters,) for part in NORM_PARTS if layer.norm}
        return shapes

    def misfit(self, arrays: Mapping[str, Any]) -> str | None:
        """Return why NumPy arrays cannot be the variables, by their names; None if they can."""
        expected = self.variables()
        for name in sorted(expected.keys() | arrays.keys()):
            found = arrays[name].shape if name in arrays else "missing"
            if found != expected.get(name):
                return f"the tensor {name} is {found}, expected {expected.get(name, 'none')}"
        return None

    def encoder(self, position: int) -> list[Layer]:
        """Return the strided convolutions of the network of the stem at a position, in order."""
        sizes = (2, *self.conv_n_filters)
        return [
            Layer(
                _numbered("conv2d", (LAYERS + 1) * position + j),
                (KERNEL_SIZE, KERNEL_SIZE, sizes[j], sizes[j + 1]),
                sizes[j + 1],
                _numbered("batch_normalization", 2 * LAYERS * position + j),
            )
            for j in range(LAYERS)
        ]

    def decoder(self, position: int) -> list[Layer]:
        """Return the transposed convolutions, in order."""
        outputs = (*reversed(self.conv_n_filters[:-1]), 1)
        # From the second layer on, the input is the previous output and its skip connection.
        inputs = (self.conv_n_filters[-1], *(2 * filters for filters in outputs))
        return [
            Layer(
                _numbered("conv2d_transpose", LAYERS * position + j),
                (KERNEL_SIZE, KERNEL_SIZE, filters, inputs[j]),
                filters,
                _numbered("batch_normalization", 2 * LAYERS * position + LAYERS + j),
            )
            for j, filters in enumerate(outputs)
        ]

    def last_layer(self, position: int) -> Layer:
        """Return the convolution that computes the mask."""
        name = _numbered("conv2d", (LAYERS + 1) * position + LAYERS)
        return Layer(name, (MASK_KERNEL_SIZE, MASK_KERNEL_SIZE, 1, 2), 2)


def read_configuration(path: Path) -> dict[str, Any]:
    """Parse a configuration file in Spleeter's format.

    Raises:
        ConfigurationError: if the file is missing or is not a JSON object.
    """
    try:
        configuration = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"The configuration {path} is not JSON: {error}.") from error
    if not isinstance(configuration, dict):
        raise ConfigurationError(f"The configuration {path} is not a JSON object.")
    return configuration


def _numbered(base: str, k: int) -> str:
    """Return the name of the k-th Keras layer of one kind; the first has no number."""
    return base if k == 0 else f"{base}_{k}"
