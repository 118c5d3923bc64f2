"""Virus scans of uploads, before anything opens them: by ClamAV, or by a function of the operator's own."""

from __future__ import annotations

import asyncio
import inspect
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from spleeter_microservice.errors import InfectedError, ScannerUnavailableError

ScanFunction = Callable[[AsyncIterator[bytes]], Awaitable[str | None]]
"""Reads a file's content, and returns the name of the virus in it, or None if it is clean."""

logger = structlog.get_logger(__name__)


class Scanner(Protocol):
    """A virus scanner."""

    async def ping(self) -> None:
        """Check that the scanner responds.

        Raises:
            ScannerUnavailableError: if it does not.
        """

    async def scan(self, chunks: AsyncIterator[bytes]) -> None:
        """Raise an error unless a file is found clean; call this before it is decoded.

        Args:
            chunks: content of the file; read once.

        Raises:
            InfectedError: if the file contains a virus.
            ScanLimitError: if the file, or its unpacked content, exceeds the scanner's limits.
            ScannerUnavailableError: if the file could not be scanned.
        """


@dataclass(frozen=True)
class ScannerPlugin:
    """A function of the operator's own as the scanner.

    Attributes:
        function: the function. Whatever it raises means that the file was not scanned.
        timeout: seconds allowed for a file.
    """

    function: ScanFunction
    timeout: float = 300

    async def ping(self) -> None:
        """Scan an empty file; see ``Scanner``."""
        await self.scan(_nothing())

    async def scan(self, chunks: AsyncIterator[bytes]) -> None:
        """See ``Scanner``."""
        try:
            async with asyncio.timeout(self.timeout):
                signature = await self.function(chunks)
        except TimeoutError as error:
            raise unavailable(f"the scanner did not answer within {self.timeout:g} s") from error
        except Exception as error:
            logger.exception("the scanner failed")
            raise unavailable("the scanner failed") from error
        if signature is not None:
            raise infected(str(signature))


def import_function(name: str) -> ScanFunction:
    """Import the coroutine function ``package.module:function``.

    Raises:
        ValueError: if it cannot be imported or is something else.
    """
    try:
        found: ScanFunction = pkgutil.resolve_name(name)
    except Exception as error:
        raise ValueError(f"It cannot be imported: {error}") from error
    if not inspect.iscoroutinefunction(found):
        raise ValueError("It is not an `async def` function.")
    return found


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


def infected(signature: str) -> InfectedError:
    """Return the error for a file in which a virus was found."""
    return InfectedError(f"The file was refused: the virus scanner found {signature} in it.", signature)


def unavailable(problem: str) -> ScannerUnavailableError:
    """Return the error for a file that could not be scanned."""
    return ScannerUnavailableError(
        f"Files cannot be scanned for viruses at the moment and are refused. Try again later. ({problem})"
    )
