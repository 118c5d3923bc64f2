"""The endings of file names that go with each container format."""

from __future__ import annotations

import re

_ENDING = re.compile(r"\.([0-9]*[a-z][a-z0-9]{0,7})$", re.ASCII | re.IGNORECASE)

_ENDINGS = {
    "aac": "aac adts",
    "ac3": "ac3",
    "aiff": "aif aiff aifc",
    "amr": "amr awb",
    "ape": "ape",
    "asf": "wma asf wmv",
    "au": "au snd",
    "avi": "avi",
    "bonk": "bonk",
    "caf": "caf",
    "dsf": "dsf",
    "dss": "dss ds2",
    "dts": "dts",
    "dtshd": "dtshd dtsma",
    "eac3": "eac3 ec3",
    "flac": "flac",
    "flv": "flv",
    "iff": "dff iff 8svx",
    "ircam": "sf ircam",
    "loas": "loas latm",
    "matroska,webm": "mka mkv webm weba mk3d",
    "mlp": "mlp",
    "mov,mp4,m4a,3gp,3g2,mj2": "m4a mp4 m4b m4r m4v mov qt qta 3gp 3gpp 3g2 3ga f4a f4v mj2",
    "mp3": "mp3 mp2 mp1 mpga mpa m2a",
    "mpc": "mpc mp",
    "mpc8": "mpc",
    "mpeg": "mpg mpeg vob",
    "mpegts": "ts m2ts mts",
    "mxf": "mxf",
    "nistsphere": "nist sph",
    "nut": "nut",
    "ogg": "ogg oga opus spx ogv ogx",
    "oma": "oma omg aa3",
    "osq": "osq",
    "qcp": "qcp",
    "qoa": "qoa",
    "rm": "rm ra ram",
    "shn": "shn",
    "sox": "sox",
    "tak": "tak",
    "truehd": "thd truehd",
    "tta": "tta",
    "voc": "voc",
    "vqf": "vqf",
    "w64": "w64",
    "wav": "wav wave bwf rf64",
    "wsd": "wsd",
    "wtv": "wtv",
    "wv": "wv",
    "xwma": "xwma",
}
"""Endings by FFmpeg's name of the format."""

AUDIO_ENDINGS = frozenset(" ".join(_ENDINGS.values()).split())
"""Endings of all formats that can be read."""


def ending_of(name: str) -> str:
    """Return the ending of a file name in lower case without its dot, or an empty text if it has none.

    It is made of letters and digits, with at least one letter: ``Mr. Smith`` and ``take 2.5`` have none.
    """
    found = _ENDING.search(name)
    return found[1].lower() if found else ""


def endings_of_format(name: str) -> frozenset[str]:
    """Return the endings of a container format, by FFmpeg's name of the format."""
    return frozenset(_ENDINGS.get(name, name.replace(",", " ")).split())
