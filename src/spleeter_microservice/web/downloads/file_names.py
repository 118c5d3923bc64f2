"""Names for downloaded files, made of what clients called the songs they sent."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

_FORBIDDEN = re.compile(r'[<>:"/\\|?*%]')  # by Windows, or misread by browsers
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z0-9]{1,5}$", re.ASCII)
_LONGEST_TITLE = 120  # bytes of UTF-8; most file systems allow 255 for the whole name
_DEFAULT_TITLE = "song"
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 8187, besides letters and digits


def title(input_name: str) -> str:
    """Make a song's title of the name of the file that was sent; safe as the name of a folder."""
    name = re.split(r"[/\\]", input_name)[-1]
    return safe_name(_EXTENSION.sub("", name))


def safe_name(name: str) -> str:
    """Make a name that every file system takes, and that shows what it is."""
    visible = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] != "C")
    spaced = " ".join(_FORBIDDEN.sub("_", visible).split())
    short = spaced.encode()[:_LONGEST_TITLE].decode(errors="ignore")
    return short.strip(". ") or _DEFAULT_TITLE


def stem_name(input_name: str, stem: str, key: str) -> str:
    """Name a stem's file, ``Song - vocals.wav``; ``key`` is its object's."""
    return f"{title(input_name)} - {stem_file(stem, key)}"


def stem_file(stem: str, key: str) -> str:
    """Name a stem's file by the stem alone, ``vocals.wav``."""
    extension = key.rpartition("/")[2].partition(".")[2]
    return f"{safe_name(stem)}.{extension}" if extension else safe_name(stem)


def attachment(name: str) -> str:
    """Write a ``Content-Disposition`` that has browsers save a file under a safe name (RFC 6266).

    Older clients read ``filename``, in ASCII; all others ``filename*``.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    simple = re.sub(r'["\\%]', "_", plain).strip() or _DEFAULT_TITLE
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS)}"
