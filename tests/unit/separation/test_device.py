"""Threads are as many as the cores that the process may use."""

import os
from pathlib import Path

import pytest

from spleeter_microservice.cli.main import main
from spleeter_microservice.errors import ProcessorError
from spleeter_microservice.separation import device


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/", {}, 8),
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/system.slice/a.service", {"system.slice/a.service/cpu.max": "150000 100000"}, 2),
        ("0::/system.slice/a.service", {"system.slice/cpu.max": "50000 100000"}, 1),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("4:cpu:/docker/1f", {"cpu/cpu.cfs_quota_us": "10000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000"}, 4),
    ],
    ids=["none", "v2 max", "v2", "service", "slice", "v1", "v1 none", "v1 container", "v1 group"],
)
def test_quotas_of_both_versions_of_control_groups_limit_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership: str, files: dict[str, str], cores: int
) -> None:
    (tmp_path / "membership").write_text(f"{membership}\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(device, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(device, "_MOUNTS", (tmp_path, tmp_path / "cpu"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert device.available_cores() == cores


def test_without_control_groups_all_cores_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS and Windows."""
    monkeypatch.setattr(device, "_MEMBERSHIP", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert device.available_cores() == 6


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        ("model name\t: Westmere\nflags\t\t: fpu sse2 ssse3 sse4_1 sse4_2 popcnt\n", None),
        ("flags\t\t: fpu sse2 ssse3\n", "popcnt, sse4_1, sse4_2"),
        ("Features\t: fp asimd\n", None),
    ],
    ids=["without AVX", "too old", "ARM"],
)
def test_a_processor_is_refused_in_one_line_if_numpy_cannot_run_on_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: str,
    missing: str | None,
) -> None:
    (tmp_path / "cpuinfo").write_text(lines)
    monkeypatch.setattr(device, "_FLAGS", tmp_path / "cpuinfo")
    status = main(["models", "list"])
    printed = capsys.readouterr().err
    assert status == (ProcessorError.exit_status if missing else 0)
    assert printed.startswith(f"Error: This processor lacks {missing}," if missing else "")
    assert printed.count("\n") == bool(missing)
