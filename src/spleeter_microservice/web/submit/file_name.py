"""Names of files in multipart forms, which clients write in many ways."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import unquote

UNNAMED = "song"
"""Name of a file that has none."""
_LONGEST = 255  # characters
_URL_ENCODED = re.compile(r"([!-$&-~]|%[0-9A-Fa-f]{2})+", re.ASCII)
_ESCAPED_BY_BROWSERS = re.compile(r"%(22|0D|0A)", re.ASCII | re.IGNORECASE)


def best_name(disposition: str, plain: bytes | None) -> str | None:
    """Return the most faithful name of a file, or None if the part is not a file.

    Args:
        disposition: value of ``Content-Disposition``, decoded as Latin-1.
        plain: its parameter ``filename``.
    """
    extended = _extended_name(disposition)
    if extended is None and plain is None:
        return None
    return extended or _decoded(plain or b"")


def displayed_name(name: str) -> str:
    """Return a name for display, without directories and control characters."""
    name = PureWindowsPath(name).name  # handles both kinds of slash
    visible = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cs"))
    return visible[:_LONGEST].strip() or UNNAMED


def _extended_name(disposition: str) -> str | None:
    """Return the parameter ``filename*`` (RFC 5987); empty if it cannot be decoded, None if it is absent."""
    message: Message[Any, Any] = Message()
    message["Content-Disposition"] = disposition
    try:
        parameters: list[tuple[str, Any]] = message.get_params([], "Content-Disposition")
        for name, value in parameters:
            if name == "filename" and isinstance(value, tuple):
                charset, _, text = value
                return str(text.encode("latin-1"), charset or "utf-8")
    except (TypeError, ValueError, LookupError):  # TypeError: from pieces that cannot be ordered (RFC 2231)
        return ""
    return None


def _decoded(name: bytes) -> str:
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        text = name.decode("cp1252", "replace")  # what Latin-1 means on the web
    with suppress(MessageError, LookupError, ValueError):
        text = str(make_header(decode_header(text)))  # encoded words (RFC 2047)
    if _URL_ENCODED.fullmatch(text):
        with suppress(UnicodeDecodeError):
            return unquote(text, errors="strict")
    return _ESCAPED_BY_BROWSERS.sub(lambda match: unquote(match[0]), text)
