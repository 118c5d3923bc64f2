"""The audit log keeps records in order, even if several processes write or crash, and reveals tampering."""

import asyncio
import os
import random
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.audit.log import AuditLog, head_path
from spleeter_microservice.audit.record import BEGINNING, Action, AuditEvent, ChainHead, compose
from spleeter_microservice.audit.verify import Report, verify
from spleeter_microservice.errors import AuditBrokenError, AuditUnwritableError, ConfigurationError
from tests.support.waiting import wait_until

WRITER = """
import sys
from pathlib import Path
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
log = AuditLog(Path(sys.argv[1]), flush=False)
for number in range(int(sys.argv[3])):
    log.append(AuditEvent(Action.JOB_CREATED, job=f"{sys.argv[2]}-{number}"))
"""


def written(path: Path, records: int) -> list[ChainHead]:
    log = AuditLog(path, flush=False)
    return [log.append(AuditEvent(Action.JOB_CREATED, job=str(number))) for number in range(records)]


def kinds(report: Report) -> list[str]:
    return [problem.kind for problem in report.problems]


def start_writer(path: Path, name: str, records: int, code: str = WRITER) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), name, str(records)], env=environment, stderr=subprocess.PIPE
    )


def test_records_follow_each_other_and_pass_verification(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    heads = written(path, 5)
    assert [head.sequence for head in heads] == [1, 2, 3, 4, 5]
    report = verify([path])
    assert (report.records, report.head, report.problems, report.end_known) == (5, heads[-1], [], True)
    report.require_whole()


def test_only_the_owner_may_read_the_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 1)
    for file in (path, head_path(path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_empty_log_is_intact(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.touch()
    assert verify([path]) == Report(head=BEGINNING)


@pytest.mark.asyncio
async def test_concurrent_records_are_all_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    await asyncio.gather(
        *(log.record(AuditEvent(Action.JOB_CREATED, job=str(number))) for number in range(50))
    )
    assert verify([log.path]).records == 50


def test_several_processes_write_one_unbroken_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [start_writer(path, name, 100) for name in "abcd"]
    for writer in writers:
        assert writer.communicate(timeout=60)[1] == b""
    report = verify([path])
    report.require_whole()
    assert report.records == 400
    jobs = [line.split('"job":"')[1].split('"')[0] for line in path.read_text().splitlines()]
    for name in "abcd":
        assert [job for job in jobs if job.startswith(name)] == [f"{name}-{number}" for number in range(100)]


def has_grown(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size >= size


def test_killed_processes_leave_an_unbroken_chain(tmp_path: Path) -> None:
    path, chance = tmp_path / "audit.jsonl", random.Random(7)
    for attempt in range(4):
        writers = [start_writer(path, f"{attempt}{name}", 100_000) for name in "ab"]
        before = path.stat().st_size if path.exists() else 0
        wait_until(partial(has_grown, path, before + chance.randrange(1, 100_000)))
        for writer in writers:
            writer.kill()
            writer.communicate()
    written(path, 1)
    report = verify([path])
    report.require_whole()
    assert report.records > 4


def test_an_incomplete_last_line_is_dropped_and_its_removal_recorded(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 3)
    with path.open("ab") as file:
        file.write(b'{"action":"job.cr')
    assert kinds(verify([path])) == ["torn"]
    written(path, 1)
    report = verify([path])
    report.require_whole()
    assert report.records == 5
    assert '"action":"audit.recovered"' in path.read_text().splitlines()[3]
    assert '"dropped_bytes":17' in path.read_text().splitlines()[3]


def test_a_full_disk_is_an_error_and_leaves_the_log_intact(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 3)
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (%d, %d))\n" + WRITER
    limit = path.stat().st_size + 100
    writer = start_writer(path, "x", 1, code % (limit, limit))
    assert b"AuditUnwritableError" in writer.communicate(timeout=60)[1]
    verify([path]).require_whole()
    written(path, 1)
    report = verify([path])
    report.require_whole()
    assert report.records == 4


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(AuditUnwritableError, match="none/audit"):
        written(tmp_path / "none" / "audit.jsonl", 1)
    with pytest.raises(ConfigurationError, match="none"):
        verify([tmp_path / "none"])


def test_a_renamed_log_continues_in_a_new_file(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    middle = written(path, 3)[-1]
    path.rename(old)
    end = written(path, 2)[-1]
    report = verify([old, path])
    report.require_whole()
    assert (report.records, report.head) == (5, end)
    verify([path], after=middle).require_whole()
    verify([old]).require_whole()
    assert not verify([old]).end_known
    assert kinds(verify([path])) == ["missing"]
    assert kinds(verify([path, old])) == ["missing", "moved"]


def test_every_kind_of_tampering_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 6)
    lines = path.read_bytes().splitlines(keepends=True)

    def tampered(*kept: bytes) -> list[str]:
        path.write_bytes(b"".join(kept))
        return kinds(verify([path]))

    assert tampered(*lines) == []
    assert tampered(lines[0], lines[1].replace(b'"1"', b'"9"'), *lines[2:]) == ["unreadable", "missing"]
    assert tampered(*lines[:2], *lines[3:]) == ["missing"]
    assert tampered(*lines[1:]) == ["missing"]
    assert tampered(*lines[:-1]) == ["truncated"]
    assert tampered(*lines[:-1], lines[-1][:-5]) == ["torn", "truncated"]
    assert tampered(*lines, lines[2]) == ["moved", "truncated"]
    assert tampered(*lines[:2], lines[3], lines[2], *lines[4:]) == ["missing", "moved", "missing"]
    assert tampered(*lines[:3], b"\n", *lines[3:]) == ["unreadable"]
    assert tampered() == ["truncated"]
    with pytest.raises(AuditBrokenError, match="Keep the file unchanged"):
        verify([path]).require_whole()


@given(data=st.data())
def test_any_change_of_the_lines_is_detected(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    if not path.exists():
        written(path, 6)
        shutil.copy(path, path.with_suffix(".whole"))
    whole = path.with_suffix(".whole").read_bytes().splitlines(keepends=True)
    kept = data.draw(st.lists(st.integers(0, 5), max_size=8))
    path.write_bytes(b"".join(whole[number] for number in kept))
    assert bool(verify([path]).problems) == (kept != list(range(6)))


def test_an_inserted_record_with_a_valid_hash_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    heads = written(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    forged, _ = compose(AuditEvent(Action.JOB_ERASED), heads[0], datetime.now(UTC))
    path.write_bytes(b"".join([lines[0], forged, *lines[2:]]))
    assert kinds(verify([path])) == ["unlinked"]


def test_only_an_anchor_reveals_a_rewritten_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    heads = written(path, 4)
    verify([path], anchor=heads[2]).require_whole()
    path.unlink()
    head_path(path).unlink()
    written(path, 4)
    assert verify([path]).problems == []  # this is what no chain can show by itself
    assert kinds(verify([path], anchor=heads[2])) == ["rewritten"]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    head_path(path).unlink()
    assert kinds(verify([path], anchor=heads[2])) == ["truncated"]
    assert not verify([path]).end_known


def test_without_its_stored_head_a_log_continues_from_its_last_record(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 3)
    for note in (b"", b"{}", b"[]", b"\xff", b'{"sequence":"x","hash":1}'):
        head_path(path).write_bytes(note)
        written(path, 1)
    verify([path]).require_whole()


def test_after_tampering_the_log_continues_and_the_tampering_stays_visible(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 4)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    written(path, 2)
    report = verify([path])
    assert kinds(report) == ["missing"]
    assert "records 3 to 4" in report.problems[0].message
