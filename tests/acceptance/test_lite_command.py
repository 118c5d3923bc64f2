"""Four stems without a download, by the command line, and said to be approximate."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.errors import ModelNotInstalledError
from spleeter_microservice.settings import Settings
from tests.support.audio_files import read

_UNREACHABLE = "http://127.0.0.1:9"


def separate(settings: Settings, folder: Path, model: str, *options: str) -> subprocess.CompletedProcess[str]:
    noise = 0.1 * np.random.default_rng(0).standard_normal((44100, 2))
    with AudioWriter(folder / "song.wav", OutputFormat("wav")) as writer:
        writer.write(noise.astype(np.float32))
        writer.finish()
        writer.commit()
    command = ["separate", "-p", model, "--json", "-o", str(folder / "stems"), *options]
    return subprocess.run(
        [sys.executable, "-m", "spleeter_microservice", *command, str(folder / "song.wav")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"SPLEETER_MODELS_DIR": str(settings.models_dir), "SPLEETER_MODELS_URL": _UNREACHABLE},
    )


def test_4stems_are_the_built_in_models_where_deezers_is_not_installed(
    model_settings: Settings, tmp_path: Path
) -> None:
    result = separate(model_settings, tmp_path, "4stems")
    assert result.returncode == 0, result.stderr
    assert "using the built-in 4stems-lite, whose stems are approximate" in result.stderr
    (song,) = json.loads(result.stdout)["songs"]
    assert song["model"]["name"] == "4stems-lite"
    assert song["model"]["quality"] == "approximate"
    assert {path.stem for path in (tmp_path / "stems" / "song").iterdir()} == {
        *("vocals", "drums", "bass", "other")
    }


def test_all_stems_are_written_into_one_file(model_settings: Settings, tmp_path: Path) -> None:
    name = ("-f", "{filename}.{codec}")
    result = separate(model_settings, tmp_path, "5stems", "-c", "stem.mp4", "--bit-depth", "16", *name)
    assert result.returncode == 0, result.stderr
    path = tmp_path / "stems" / "song.stem.mp4"
    (song,) = json.loads(result.stdout)["songs"]
    assert [stem["path"] for stem in song["stems"].values()] == [str(path)]
    assert [*path.parent.iterdir()] == [path]
    np.testing.assert_array_equal(read(path), read(tmp_path / "song.wav"))
    assert len(read(path, track="5")) == 44100


def test_deezers_4stems_by_their_full_name_are_not_replaced(model_settings: Settings, tmp_path: Path) -> None:
    result = separate(model_settings, tmp_path, "spleeter:4stems")
    assert result.returncode == ModelNotInstalledError.exit_status, result.stderr
    assert not (tmp_path / "stems").exists()
