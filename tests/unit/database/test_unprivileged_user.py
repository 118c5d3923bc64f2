"""PostgreSQL runs as another user if the service runs as root."""

import os
from pathlib import Path

import pytest

from spleeter_microservice.database.unprivileged_user import Account, substitute_for_root, with_a_name
from spleeter_microservice.errors import DatabaseStartError

SOMEBODY = Account("somebody", 54321, 54321)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that only its owner enters."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    return closed


def test_a_process_that_is_not_root_needs_no_other_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert substitute_for_root() is None


def test_root_is_given_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = substitute_for_root()
    assert account
    assert account.uid != 0


def test_the_error_says_what_to_do_if_no_other_user_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("spleeter_microservice.database.unprivileged_user._CANDIDATES", ("no-such-account",))
    with pytest.raises(DatabaseStartError, match="SPLEETER_DATABASE_URL"):
        substitute_for_root()


def test_only_directories_with_the_right_permissions_can_be_entered(place: Path) -> None:
    assert SOMEBODY.enters(Path("/usr/bin"))
    assert not SOMEBODY.enters(place)


def test_the_command_is_unchanged_if_the_user_can_enter_its_directories() -> None:
    command, switches = SOMEBODY.command(["ls"], Path("/usr/bin"))
    assert (command, switches["user"]) == (["ls"], 54321)


def test_otherwise_the_command_gains_exactly_one_capability(place: Path) -> None:
    command, switches = SOMEBODY.command(["ls"], place)
    assert switches == {}
    assert command[0] == "setpriv"
    assert command[command.index("--ambient-caps") + 1] == "+dac_override"
    assert command[-2:] == ["--", "ls"]


def test_the_error_says_what_to_do_without_setpriv(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(DatabaseStartError, match="Install setpriv"):
        SOMEBODY.command(["ls"], place)


def test_the_error_says_what_to_do_if_a_user_has_no_name_and_cannot_be_given_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000680000)
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(DatabaseStartError, match=r"1000680000 has no name.*SPLEETER_DATABASE_URL"):
        with_a_name(["initdb"])
