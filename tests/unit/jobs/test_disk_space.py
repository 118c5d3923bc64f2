"""A disk counts as full below a floor, of bytes or of inodes."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.jobs.disk_space import DiskSpace
from spleeter_microservice.observability.metrics import DISK_SHORT

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("name", "floor", "size", "free", "inodes", "short"),
    [
        ("spool", None, 100 * GIB, GIB, (0, 0), False),
        ("spool", None, 100 * GIB, GIB - 1, (0, 0), True),
        ("spool", None, 100 * MIB, 5 * MIB, (0, 0), False),
        ("spool", None, 100 * MIB, 5 * MIB - 1, (0, 0), True),
        ("spool", 50 * MIB, 100 * MIB, 50 * MIB - 1, (0, 0), True),
        ("spool", 0, 100 * MIB, 0, (0, 0), False),
        ("spool", None, 100 * GIB, 50 * GIB, (10**6, 999), True),
        ("spool", None, 100 * GIB, 50 * GIB, (10**6, 1000), False),
        ("spool", None, 100 * GIB, 50 * GIB, (200, 9), True),
        ("spool", 50 * MIB, 0, 0, (0, 0), False),  # neither is counted
        ("metrics", GIB, 64 * MIB, MIB, (0, 0), False),
        ("metrics", GIB, 64 * MIB, MIB - 1, (0, 0), True),
    ],
)
def test_the_floor(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    floor: int | None,
    size: int,
    free: int,
    inodes: tuple[int, int],
    *,
    short: bool,
) -> None:
    facts = SimpleNamespace(f_frsize=1, f_blocks=size, f_bavail=free, f_files=inodes[0], f_favail=inodes[1])
    monkeypatch.setattr(os, "statvfs", lambda _: facts)
    space = DiskSpace({name: tmp_path}, floor)
    if short:
        with pytest.raises(DiskFullError, match=f"disk of {name} has too little space"):
            space.check()
    else:
        space.check()
    assert DISK_SHORT.labels(name)._value.get() == short


def test_a_folder_that_is_gone_counts_as_no_full_disk(tmp_path: Path) -> None:
    DiskSpace({"objects": tmp_path / "unmounted"}).check()
