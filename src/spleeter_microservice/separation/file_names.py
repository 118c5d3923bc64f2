"""Names of downloaded files, derived from the names of uploaded songs."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_FORBIDDEN = re.compile(r'[<>:"/\\|?*%]')  # on Windows, or misread by browsers
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)
"""Names of devices on Windows, with any extension."""
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z0-9]{1,5}$", re.ASCII)
_LONGEST_TITLE = 120  # bytes of UTF-8; most file systems allow 255 for the whole name
_DEFAULT_TITLE = "song"
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 8187, in addition to letters and digits


def title(input_name: str) -> str:
    """Return a song's title from its file name; it is safe as a directory name."""
    name = re.split(r"[/\\]", input_name)[-1]
    return safe_name(_EXTENSION.sub("", name))


def safe_name(name: str) -> str:
    """Return a name that is valid on every file system and contains no invisible characters."""
    visible = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] != "C")
    spaced = " ".join(_FORBIDDEN.sub("_", visible).split())
    short = spaced.encode()[:_LONGEST_TITLE].decode(errors="ignore")
    safe = short.strip(". ") or _DEFAULT_TITLE
    return f"_{safe}" if _RESERVED.match(safe) else safe


def stem_name(input_name: str, stem: str, key: str) -> str:
    """Return the file name of a stem, ``Song - vocals.wav``; ``key`` is its object key."""
    return f"{title(input_name)} - {stem_file(stem, key)}"


def stem_file(stem: str, key: str) -> str:
    """Return the file name of a stem without the song, ``vocals.wav``."""
    extension = key.rpartition("/")[2].partition(".")[2]
    return f"{safe_name(stem)}.{extension}" if extension else safe_name(stem)


def attachment(name: str) -> str:
    """Return a ``Content-Disposition`` that makes browsers save a file under a name (RFC 6266).

    Older clients read ``filename``, which is ASCII; all others read ``filename*``.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    simple = re.sub(r'["\\%]', "_", plain).strip() or _DEFAULT_TITLE
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS)}"
