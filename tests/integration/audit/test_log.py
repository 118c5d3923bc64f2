"""The audit log keeps records in order, even if several processes write or crash, and reveals tampering."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from spleeter_microservice.audit.log import AuditLog, seal
from spleeter_microservice.audit.record import Action, AuditEvent, ChainHead, canonical, compose, head_of
from spleeter_microservice.audit.verify import Verification
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import AuditBrokenError, AuditUnwritableError, ConfigurationError
from tests.support.audit import audited, make_unwritable, tamper
from tests.support.logs import logged
from tests.support.waiting import wait_until

pytestmark = pytest.mark.asyncio

KEY, OLD_KEY = b"a key of the seal", b"an earlier key of it"
WRITER = """
import asyncio, sys
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
from spleeter_microservice.database.connection import Database
async def main(url, name, records):
    async with Database(url, connections=1, timeout=60) as database:
        log = AuditLog(database, [b"a key of the seal"])
        for number in range(int(records)):
            await log.record(AuditEvent(Action.JOB_CREATED, job=f"{name}-{number}"))
asyncio.run(main(*sys.argv[1:]))
"""


def kinds(report: Verification) -> list[str]:
    return [problem.kind for problem in report.problems]


@dataclass
class Audited:
    """A log in a database of its own."""

    database: Database
    log: AuditLog

    @property
    def url(self) -> str:
        return self.database.url

    async def write(self, records: int) -> list[ChainHead]:
        """Write records at the same time."""
        event = AuditEvent(Action.JOB_CREATED)
        return await asyncio.gather(*(self.log.record(event) for _ in range(records)))

    async def verify(self, *keys: bytes, **known: ChainHead) -> Verification:
        """Verify the log; the key of the seal is known."""
        return await Verification(**known).table(self.database, keys or [KEY])

    async def kinds(self, *keys: bytes, **known: ChainHead) -> list[str]:
        return kinds(await self.verify(*keys, **known))

    async def after(self, statements: str) -> list[str]:
        """Return the kinds of problems that an attacker's statements cause."""
        tamper(self.url, statements)
        return await self.kinds()


@pytest_asyncio.fixture
async def audit(database_url: str) -> AsyncIterator[Audited]:
    async with Database(database_url, timeout=60) as database:
        yield Audited(database, AuditLog(database, [KEY]))


def exported(url: str, path: Path) -> list[bytes]:
    """Export the log into a file, and return its lines."""
    lines = [canonical(record) + b"\n" for record in audited(url)]
    path.write_bytes(b"".join(lines))
    return lines


async def test_records_follow_each_other_and_are_copied_to_the_log_at_every_level(audit: Audited) -> None:
    with logged("error") as stream:
        heads = await audit.write(5)
    assert [head.sequence for head in heads] == [1, 2, 3, 4, 5]
    report = await audit.verify()
    assert (report.records, report.head, report.problems) == (5, heads[-1], [])
    assert (report.end_known, report.seal_known) == (True, True)
    report.require_whole()
    copies = [json.loads(line)["audit"] for line in stream.getvalue().splitlines()]
    assert copies == audited(audit.url)


async def test_an_empty_log_is_intact(audit: Audited) -> None:
    assert (await audit.verify()).records == 0
    (await audit.verify()).require_whole()


def start_writer(url: str, name: str, records: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, url, name, str(records)], env=environment, stderr=subprocess.PIPE
    )


async def test_processes_that_write_at_once_and_are_killed_leave_one_unbroken_chain(audit: Audited) -> None:
    killed = start_writer(audit.url, "k", 1_000_000)
    steady = start_writer(audit.url, "s", 60)
    await asyncio.gather(*(audit.write(7) for _ in range(20)))
    assert steady.communicate()[1] == b""
    wait_until(lambda: any(record["job"].startswith("k") for record in audited(audit.url)))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (await audit.verify()).require_whole()
    jobs = [record["job"] for record in audited(audit.url)]
    assert [job for job in jobs if job.startswith("s")] == [f"s-{number}" for number in range(60)]
    assert jobs.count("") == 140


CHANGES = """
UPDATE spleeter_audit SET record = ''
DELETE FROM spleeter_audit
TRUNCATE spleeter_audit
TRUNCATE spleeter_audit, spleeter_audit_head
DELETE FROM spleeter_audit_head
UPDATE spleeter_audit_head SET sequence = sequence - 1
"""


async def test_the_database_refuses_to_change_the_log(audit: Audited) -> None:
    await audit.write(2)
    for statement in CHANGES.strip().splitlines():
        with psycopg.connect(audit.url) as connection, pytest.raises(psycopg.errors.RaiseException):
            connection.execute(statement.encode())
    (await audit.verify()).require_whole()


async def test_every_kind_of_tampering_is_detected(audit: Audited) -> None:
    heads = await audit.write(6)
    swap = """
        UPDATE spleeter_audit SET sequence = -sequence WHERE sequence IN (3, 4);
        UPDATE spleeter_audit SET sequence = 7 + sequence WHERE sequence < 0
    """
    assert await audit.kinds() == []
    assert await audit.after(swap) == ["missing", "moved", "missing"]
    assert await audit.after(swap) == []
    await audit.after("CREATE TABLE kept AS SELECT * FROM spleeter_audit")
    restore = "DELETE FROM spleeter_audit; INSERT INTO spleeter_audit SELECT * FROM kept;"
    edit = "UPDATE spleeter_audit SET record = replace(record, 'created', 'creatud') WHERE sequence = 2"
    assert await audit.after(edit) == ["unreadable", "missing"]
    assert await audit.after(f"{restore} DELETE FROM spleeter_audit WHERE sequence = 1") == ["missing"]
    assert await audit.after(f"{restore} DELETE FROM spleeter_audit WHERE sequence = 6") == ["truncated"]
    again = "INSERT INTO spleeter_audit SELECT 7, record FROM spleeter_audit WHERE sequence = 3"
    assert await audit.after(f"{restore} {again}") == ["moved", "truncated"]
    forged = canonical(compose(AuditEvent(Action.JOB_ERASED), heads[0], datetime.now(UTC))).decode()
    insert = f"UPDATE spleeter_audit SET record = '{forged}' WHERE sequence = 2"
    assert await audit.after(f"{restore} {insert}") == ["unlinked"]
    tamper(audit.url, f"{restore} DROP TABLE kept")
    await audit.write(1)
    assert await audit.kinds() == []
    make_unwritable(audit.url)
    assert await audit.kinds() == ["truncated"]
    with pytest.raises(AuditBrokenError, match="the head: it is missing"):
        (await audit.verify()).require_whole()


def truncated(heads: list[ChainHead], kept: int, sealed: str = "") -> str:
    """Return statements that remove the end of the log and make its head fit."""
    head = heads[kept - 1]
    return (
        f"DELETE FROM spleeter_audit WHERE sequence > {kept};"
        f"UPDATE spleeter_audit_head SET sequence = {kept}, hash = '{head.hash}'"
        + (f", seal = '{sealed}'" if sealed else "")
    )


async def test_a_log_with_a_head_that_fits_is_revealed_by_the_seal(audit: Audited) -> None:
    heads = await audit.write(4)
    assert await audit.after(truncated(heads, 3)) == ["unsealed"]
    assert await audit.after(truncated(heads, 3, seal(heads[2], b"a guess"))) == ["unsealed"]
    await audit.write(1)  # the seal of the next record does not hide it
    assert await audit.kinds() == ["unsealed"]
    assert [record["action"] for record in audited(audit.url)[3:]] == ["audit.unsealed", "job.created"]


async def test_a_log_put_back_to_an_earlier_state_is_noticed_by_who_wrote_since(audit: Audited) -> None:
    heads = await audit.write(4)
    assert await audit.after(truncated(heads, 2, seal(heads[1], KEY))) == []  # which no dump alone can show
    assert await audit.kinds(anchor=heads[3]) == ["truncated"]
    assert await audit.kinds(anchor=heads[1]) == []
    await audit.write(1)
    assert await audit.kinds() == ["unsealed"]
    assert await audit.kinds(anchor=heads[3]) == ["unsealed", "rewritten"]
    assert await audit.kinds(head=head_of(audited(audit.url)[2])) == []


async def test_keys_of_the_seal_can_be_added_and_replaced(audit: Audited) -> None:
    unsealed = AuditLog(audit.database)
    await unsealed.record(AuditEvent(Action.JOB_CREATED))
    assert not (await Verification().table(audit.database)).seal_known
    await AuditLog(audit.database, [OLD_KEY]).record(AuditEvent(Action.JOB_CREATED))
    start = head_of(audited(audit.url)[1])
    assert await audit.kinds(OLD_KEY) == ["unsealed"]  # nobody vouches for the first
    assert await audit.kinds(OLD_KEY, head=start) == []
    with pytest.raises(AuditUnwritableError, match="SPLEETER_AUDIT_KEY"):
        await unsealed.record(AuditEvent(Action.JOB_CREATED))
    await AuditLog(audit.database, [KEY, OLD_KEY]).record(AuditEvent(Action.JOB_CREATED))
    assert await audit.kinds(head=start) == []
    assert await audit.kinds(OLD_KEY, head=start) == ["unsealed"]


async def test_what_cannot_be_written_fails_and_leaves_the_log_intact(audit: Audited) -> None:
    (head,) = await audit.write(1)
    tamper(audit.url, "INSERT INTO spleeter_audit VALUES (2, 'in the way')")
    results = await asyncio.gather(
        *(audit.log.record(AuditEvent(Action.JOB_CREATED)) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [AuditUnwritableError] * 3
    tamper(audit.url, "DELETE FROM spleeter_audit WHERE sequence = 2")
    assert (await audit.verify()).head == head
    await audit.write(1)
    (await audit.verify()).require_whole()


async def test_a_caller_that_goes_away_does_not_stop_the_others(audit: Audited) -> None:
    tasks = [asyncio.create_task(audit.log.record(AuditEvent(Action.JOB_CREATED))) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert [isinstance(result, ChainHead) for result in results[1:]] == [True, True]
    (await audit.verify()).require_whole()


async def test_old_records_can_be_removed_as_the_documents_say(audit: Audited) -> None:
    heads = await audit.write(4)
    document = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
    (statements,) = re.findall(r"```sql\n(.*?)```", document, re.DOTALL)
    with psycopg.connect(audit.url, autocommit=True) as connection:
        connection.execute(statements.replace("100000", "2").encode())
        with pytest.raises(psycopg.errors.RaiseException):
            connection.execute("DELETE FROM spleeter_audit")
    await audit.write(1)
    assert await audit.kinds() == ["missing"]
    assert await audit.kinds(head=heads[1]) == []


async def test_exports_are_verified_without_the_database(audit: Audited, tmp_path: Path) -> None:
    heads = await audit.write(5)
    path, rest = tmp_path / "audit.jsonl", tmp_path / "rest.jsonl"
    lines = exported(audit.url, path)
    assert (Verification().files([path])).problems == []
    assert not Verification().files([path]).end_known
    assert Verification(anchor=heads[-1]).files([path]).end_known
    path.write_bytes(b"".join(lines[:2]))
    rest.write_bytes(b"".join(lines[2:]))
    assert Verification().files([path, rest]).head == heads[-1]
    assert Verification(head=heads[1]).files([rest]).problems == []
    assert kinds(Verification().files([rest])) == ["missing"]
    assert kinds(Verification().files([rest, path])) == ["missing", "moved"]
    path.write_bytes(b"".join(lines)[:-5])
    (torn,) = Verification().files([path]).problems
    assert (torn.kind, torn.place) == ("unreadable", f"{path}, line 5")
    assert kinds(Verification(anchor=heads[-1]).files([path])) == ["unreadable", "truncated"]
    with pytest.raises(ConfigurationError, match="none"):
        Verification().files([tmp_path / "none"])
