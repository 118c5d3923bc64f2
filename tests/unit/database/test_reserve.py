"""Space is reserved while there is plenty, and released when the disk is full."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from spleeter_microservice.database.reserve import Reserve

MIB = 1 << 20


def test_the_reserve_is_taken_given_up_and_taken_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reserve = Reserve(tmp_path)

    def held(megabytes: int, inodes: int = 10_000) -> int:
        facts = SimpleNamespace(f_frsize=1, f_bavail=megabytes * MIB, f_files=20_000, f_favail=inodes)
        monkeypatch.setattr(os, "statvfs", lambda _: facts)
        reserve.keep()
        return sum(file.stat().st_blocks * 512 for file in tmp_path.rglob("reserve/*")) // MIB

    assert (held(64), reserve.spent) == (0, False)
    assert (held(65), reserve.spent) == (32, False)
    assert (held(16), reserve.spent) == (32, False)
    assert (held(15), reserve.spent) == (0, True)
    assert (held(47), reserve.spent) == (0, True)
    assert (held(65), reserve.spent) == (32, False)
    assert (held(65, inodes=31), reserve.spent) == (0, True)
    assert (held(65, inodes=64), reserve.spent) == (0, True)
    assert (held(65, inodes=65), reserve.spent) == (32, False)
