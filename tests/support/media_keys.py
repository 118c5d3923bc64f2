"""The media keys of a desktop: a message bus, on which browsers that play are players (MPRIS)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.chromium import program

_NAME = "org.mpris.MediaPlayer2"
_OBJECT = "/org/mpris/MediaPlayer2"


@contextmanager
def bus() -> Iterator[str]:
    """Start a message bus, yield its address, and stop it."""
    daemon = program("dbus-daemon", "dbus-daemon")
    with tempfile.TemporaryDirectory(prefix="bus-") as folder:
        address = f"unix:path={folder}/bus"
        command = [daemon, "--session", "--nofork", "--nopidfile", f"--address={address}", "--print-address"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout
                assert process.stdout.readline()  # once it listens
                yield address
            finally:
                process.terminate()


class Desktop:
    """A desktop that passes media keys on to the only player on its bus."""

    def __init__(self, address: str) -> None:
        self._address = address

    def _send(self, name: str, place: str, method: str, *arguments: str) -> str:
        command = [program("dbus-bin", "dbus-send"), f"--bus={self._address}", "--print-reply=literal"]
        command += [f"--dest={name}", place, method, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def _player(self) -> str:
        names = self._send("org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames").split()
        return next(name for name in names if name.startswith(_NAME))

    def has_player(self) -> bool:
        """Return whether a browser plays, or did."""
        return _NAME in self._send("org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames")

    def press(self, method: str, *arguments: str) -> None:
        """Send what a key means: ``Play``, ``Pause``, ``PlayPause``, ``Stop``, ``SetPosition`` and so on."""
        self._send(self._player(), _OBJECT, f"{_NAME}.Player.{method}", *arguments)

    def shown(self, name: str) -> list[str]:
        """Return a property of the player, such as ``Metadata``, in words."""
        arguments = (f"string:{_NAME}.Player", f"string:{name}")
        get = "org.freedesktop.DBus.Properties.Get"
        return self._send(self._player(), _OBJECT, get, *arguments).split()
