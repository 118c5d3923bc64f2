"""The comparison of a collection of files with plain decoding finds every file that differs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import collections
from tests.support.audio_files import RATE, encode_kind, noise


def test_files_that_differ_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    song = encode_kind(tmp_path / "whole.wav", noise(2 * RATE), "s16.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(song[:300_000])
    (tmp_path / "cut too soon.wav").write_bytes(song[:100_000])
    (tmp_path / "text.txt").write_text("no sound")
    monkeypatch.setattr(sys, "argv", ["collections", str(tmp_path)])
    assert collections.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "!      0.57      0.00  cut too soon.wav  TruncatedInputError: the file is cut off: only 0.57 s can "
        "be read. Copy or download it again.",
        "       1.70      1.70  cut.wav  1 × cut-off",
        "       2.00      2.00  whole.wav",
        "4 files, 3 with at least 0.1 s of sound, 1 of them differ",
    ]
