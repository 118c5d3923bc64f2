"""Virus scans of uploads, before anything opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from spleeter_microservice.antivirus.clamd import Clamd, ClamdError
from spleeter_microservice.errors import (
    ConfigurationError,
    InfectedError,
    ScanLimitError,
    ScannerUnavailableError,
)

Result = Literal["skipped", "clean", "infected", "unavailable"]

_CLEAN = "stream: OK"
_FOUND_BEGIN, _FOUND_END = "stream: ", " FOUND"
_TOO_LONG = "INSTREAM size limit exceeded"
# clamd's name for a file beyond its limits if AlertExceedsMax is on; otherwise it calls it clean.
_TOO_MUCH = "Heuristics.Limits.Exceeded"


@dataclass(frozen=True)
class Verdict:
    """The result of a scan.

    Attributes:
        result: ``skipped`` if scanning is off, ``unavailable`` if the scanner does not work.
        signature: signature of the virus found.
        problem: what is wrong with the scanner.
    """

    result: Result
    signature: str = ""
    problem: str = ""

    def raise_if_unsafe(self) -> None:
        """Raise unless the file is clean or need not be scanned.

        Raises:
            InfectedError: if it contains a virus.
            ScannerUnavailableError: if it could not be scanned.
        """
        if self.result == "infected":
            raise InfectedError(
                f"The file was refused: the virus scanner found {self.signature} in it.", self.signature
            )
        if self.result == "unavailable":
            raise ScannerUnavailableError(
                f"Files cannot be scanned for viruses at the moment and are refused. Try again later. "
                f"({self.problem})"
            )


def open_scanner(mode: str, url: str | None) -> Clamd | None:
    """Return the scanner of ``SPLEETER_ANTIVIRUS`` and ``SPLEETER_CLAMD_URL``, or None if it is off.

    Raises:
        ConfigurationError: if one is wrong, or the second is missing.
    """
    if mode == "off":
        return None
    if mode != "required":
        raise ConfigurationError(f"SPLEETER_ANTIVIRUS is {mode!r}. Set it to off or required.")
    if not url:
        raise ConfigurationError(
            "SPLEETER_ANTIVIRUS=required needs a scanner. Set SPLEETER_CLAMD_URL to "
            "tcp://host:3310 or unix:///path."
        )
    return Clamd.from_url(url)


async def scan_antivirus(chunks: AsyncIterator[bytes], scanner: Clamd | None) -> Verdict:
    """Scan a file for viruses before it is decoded.

    Args:
        chunks: content of the file; read once, and not at all without a scanner. Its errors are passed
            on.
        scanner: the scanner, or None to skip the scan.

    Returns:
        The verdict; ``Verdict.raise_if_unsafe`` turns a bad one into an error.

    Raises:
        ScanLimitError: if the file, or its unpacked content, exceeds the scanner's limits.
    """
    if scanner is None:
        return Verdict("skipped")
    try:
        reply = await scanner.instream(chunks)
    except ClamdError as error:
        return Verdict("unavailable", problem=str(error))
    return _verdict(reply)


def _verdict(reply: str) -> Verdict:
    if reply == _CLEAN:
        return Verdict("clean")
    if reply.startswith(_TOO_LONG):
        raise _beyond("StreamMaxLength")
    if reply.startswith(_FOUND_BEGIN) and reply.endswith(_FOUND_END):
        signature = reply[len(_FOUND_BEGIN) : -len(_FOUND_END)]
        if signature.startswith(_TOO_MUCH):
            raise _beyond(signature.rpartition(".")[2])
        return Verdict("infected", signature=signature)
    return Verdict("unavailable", problem=f"clamd replied {reply[:200]!r}")


def _beyond(limit: str) -> ScanLimitError:
    return ScanLimitError(
        f"The file exceeds a limit of the virus scanner ({limit}). Send a smaller file; operators can raise "
        f"{limit} in clamd.conf."
    )
