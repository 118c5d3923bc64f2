"""Virus scans of uploads, before anything opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from spleeter_microservice.antivirus.clamd import Clamd, ClamdError
from spleeter_microservice.errors import InfectedError, ScanLimitError, ScannerUnavailableError

_CLEAN = "stream: OK"
_FOUND_BEGIN, _FOUND_END = "stream: ", " FOUND"
_TOO_LONG = "INSTREAM size limit exceeded"
# clamd's name for a file beyond its limits if AlertExceedsMax is on; otherwise it calls it clean.
_TOO_MUCH = "Heuristics.Limits.Exceeded"


async def scan_antivirus(chunks: AsyncIterator[bytes], scanner: Clamd) -> None:
    """Raise an error unless a file is found clean; call this before it is decoded.

    Args:
        chunks: content of the file; read once. Its errors are passed on.
        scanner: the scanner.

    Raises:
        InfectedError: if the file contains a virus.
        ScanLimitError: if the file, or its unpacked content, exceeds the scanner's limits.
        ScannerUnavailableError: if the file could not be scanned.
    """
    try:
        reply = await scanner.instream(chunks)
    except ClamdError as error:
        raise _unavailable(str(error)) from error
    if reply == _CLEAN:
        return
    if reply.startswith(_TOO_LONG):
        raise _beyond("StreamMaxLength")
    if not (reply.startswith(_FOUND_BEGIN) and reply.endswith(_FOUND_END)):
        raise _unavailable(f"clamd replied {reply[:200]!r}")
    signature = reply[len(_FOUND_BEGIN) : -len(_FOUND_END)]
    if signature.startswith(_TOO_MUCH):
        raise _beyond(signature.rpartition(".")[2])
    raise InfectedError(f"The file was refused: the virus scanner found {signature} in it.", signature)


def _unavailable(problem: str) -> ScannerUnavailableError:
    return ScannerUnavailableError(
        f"Files cannot be scanned for viruses at the moment and are refused. Try again later. ({problem})"
    )


def _beyond(limit: str) -> ScanLimitError:
    return ScanLimitError(
        f"The file exceeds a limit of the virus scanner ({limit}). Send a smaller file; operators can raise "
        f"{limit} in clamd.conf."
    )
