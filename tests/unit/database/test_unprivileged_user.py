"""The account that PostgreSQL runs under when the service is root's."""

import os
from pathlib import Path

import pytest

from spleeter_microservice.database.unprivileged_user import Account, substitute_for_root
from spleeter_microservice.errors import DatabaseStartError

SOMEBODY = Account("somebody", 54321, 54321)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that only its owner enters."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    return closed


def test_an_ordinary_process_needs_no_substitute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert substitute_for_root() is None


def test_root_gets_an_account_that_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = substitute_for_root()
    assert account
    assert account.uid != 0


def test_without_such_an_account_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("spleeter_microservice.database.unprivileged_user._CANDIDATES", ("no-such-account",))
    with pytest.raises(DatabaseStartError, match="SPLEETER_DATABASE_URL"):
        substitute_for_root()


def test_open_folders_are_entered_and_closed_ones_are_not(place: Path) -> None:
    assert SOMEBODY.enters(Path("/usr/bin"))
    assert not SOMEBODY.enters(place)


def test_the_command_stays_as_it_is_where_the_account_may_enter() -> None:
    command, switches = SOMEBODY.command(["ls"], Path("/usr/bin"))
    assert (command, switches["user"]) == (["ls"], 54321)


def test_where_it_may_not_enter_the_command_gets_one_right_and_no_more(place: Path) -> None:
    command, switches = SOMEBODY.command(["ls"], place)
    assert switches == {}
    assert command[0] == "setpriv"
    assert command[command.index("--ambient-caps") + 1] == "+dac_override"
    assert command[-2:] == ["--", "ls"]


def test_without_setpriv_it_is_said_what_to_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(DatabaseStartError, match="Install setpriv"):
        SOMEBODY.command(["ls"], place)
