"""Models of the real size with random weights, to measure the time of 4 and 5 networks."""

import json
from pathlib import Path

from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.models.installer import architecture_of
from tests.support.random_models import random_arrays
from tests.support.tensorflow_files import write_checkpoint


def random_model(name: str, folder: Path) -> Path:
    """Write a checkpoint of random weights and return its configuration file.

    Args:
        name: a model of the catalogue, whose architecture is used.
        folder: an existing folder.
    """
    architecture = architecture_of(CATALOGUE.resolve(name).entry)
    write_checkpoint(folder / name / "model", random_arrays(architecture))
    configuration = {
        "instrument_list": architecture.stems,
        "sample_rate": architecture.sample_rate,
        "frame_length": architecture.n_fft,
        "frame_step": architecture.hop_length,
        "T": architecture.segment_frames,
        "F": architecture.bins,
        "model": {
            "type": f"unet.{architecture.kind}",
            "params": {
                "conv_activation": architecture.conv_activation,
                "deconv_activation": architecture.deconv_activation,
            },
        },
        "model_dir": name,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(configuration))
    return path
