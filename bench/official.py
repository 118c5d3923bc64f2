"""Official Spleeter in its own virtual environment, with the same weights."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.separation.spleeter.unet_graph import read_arrays
from tests.support.tensorflow_files import write_checkpoint

REQUIREMENTS = Path(__file__).parent / "requirements-official.txt"


def install(folder: Path) -> Path:
    """Install official Spleeter with a Python that it supports, and return the path of its command.

    Raises:
        RuntimeError: if Python 3.11, ffmpeg or the package index is unavailable.
    """
    command = folder / "bin" / "spleeter"
    if not command.exists():
        python = sys.executable if sys.version_info[:2] == (3, 11) else "python3.11"
        for arguments in (
            [python, "-m", "venv", folder],
            [folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", REQUIREMENTS],
            ["ffmpeg", "-version"],
        ):
            try:
                subprocess.run(list(map(str, arguments)), check=True, stdout=subprocess.DEVNULL)
            except (OSError, subprocess.CalledProcessError) as error:
                raise RuntimeError(
                    f"Official Spleeter cannot be installed: {error}. "
                    "It needs Python 3.11, the program ffmpeg and a package index."
                ) from error
    return command


def write_weights(model: InstalledModel, folder: Path) -> Path:
    """Write a model as the TensorFlow checkpoint that official Spleeter looks for in MODEL_PATH."""
    target = folder / model.manifest.name
    if not (target / ".probe").exists():
        target.mkdir(parents=True, exist_ok=True)
        arrays = read_arrays(model.architecture, model.folder)
        write_checkpoint(target / "model", {**arrays, "global_step": np.array(0, np.int64)})
        (target / "checkpoint").write_text('model_checkpoint_path: "model"\n')
        (target / ".probe").write_text("OK")  # without it official Spleeter downloads
    return folder
