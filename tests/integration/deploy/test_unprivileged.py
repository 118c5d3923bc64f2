"""The image's commands give the data folder away and drop every privilege if root starts them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spleeter_microservice.database.unprivileged_user import Account

SCRIPT = Path(__file__).parents[3] / "scripts" / "unprivileged.py"
ACCOUNT = 10001
ROOT = os.geteuid() == 0
REPORT = """#!/bin/sh
id -u && id -g && id -G && grep -E '^(Cap|NoNewPrivs)' /proc/self/status
echo > "$SPLEETER_DATA_DIR/written"
"""


@pytest.fixture
def image() -> Iterator[Path]:
    """A folder like the image: a program, the script in front of it, and a data folder of the test's user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("bin", "unprivileged", "data"):
            (folder / part).mkdir()
        (folder / "bin" / "python3").symlink_to(sys.executable)
        (folder / "bin" / "report").write_text(REPORT)
        (folder / "bin" / "report").chmod(0o755)
        (folder / "unprivileged" / "report").symlink_to(SCRIPT)
        yield folder


def start(image: Path, *launcher: str, account: Account | None = None) -> subprocess.CompletedProcess[str]:
    command = [*launcher, str(image / "bin" / "python3"), "-IS", str(image / "unprivileged" / "report")]
    if account:
        command, _ = account.command(command, Path("/root"), Path(sys.executable).resolve())
    return subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "SPLEETER_DATA_DIR": str(image / "data")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_root_becomes_the_account_without_any_privilege(image: Path) -> None:
    (image / "data").chmod(0o700)
    (image / "data" / "kept").touch()
    done = start(image)
    assert (done.returncode, done.stderr) == (0, "")
    user, group, groups, *lines = done.stdout.splitlines()
    owner = (image / "data").stat().st_uid
    if not ROOT:  # then it does neither
        assert (int(user), owner) == (os.geteuid(), os.geteuid())
        return
    assert (user, group, groups, owner) == (*[str(ACCOUNT)] * 3, ACCOUNT)
    facts = dict(line.split(":\t") for line in lines)
    assert facts.pop("NoNewPrivs") == "1"
    assert {name: int(value, 16) for name, value in facts.items()} == dict.fromkeys(facts, 0)
    assert (image / "data" / "kept").stat().st_uid == 0


def test_a_folder_that_the_account_can_write_to_stays_as_it_is(image: Path) -> None:
    (image / "data").chmod(0o777)
    assert start(image).returncode == 0
    assert (image / "data").stat().st_uid == os.geteuid()
    assert (image / "data" / "written").exists()


def test_another_user_stays_itself(image: Path) -> None:
    (image / "data").chmod(0o777)
    other = Account("nameless", 1000680000, 0) if ROOT else None
    done = start(image, account=other)
    assert int(done.stdout.split()[0]) == (other.uid if other else os.geteuid()), done.stderr
    assert (image / "data").stat().st_uid == os.geteuid()


def test_missing_capabilities_are_named_in_one_line(image: Path) -> None:
    done = start(image, *(["setpriv", "--bounding-set=-setuid,-setgid"] if ROOT else []))
    if ROOT:  # others have no such rights to lack
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "SETUID" in line
    else:
        assert (done.returncode, done.stderr) == (0, "")
