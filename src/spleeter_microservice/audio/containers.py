"""The container formats that can be read, and the endings of file names that go with each."""

from __future__ import annotations

import re

_ENDING = re.compile(r"\.([0-9]*[a-z][a-z0-9]{0,7})$", re.ASCII | re.IGNORECASE)

_ENDINGS = {
    "aac": "aac adts",
    "aiff": "aif aiff aifc",
    "amr": "amr awb",
    "asf": "wma asf wmv",
    "au": "au snd",
    "dss": "dss ds2",
    "dtshd": "dtshd dtsma",
    "eac3": "eac3 ec3",
    "iff": "dff iff 8svx",
    "ircam": "sf ircam",
    "loas": "loas latm",
    "matroska,webm": "mka mkv webm weba mk3d",
    "mov,mp4,m4a,3gp,3g2,mj2": "m4a mp4 m4b m4r m4v mov qt qta 3gp 3gpp 3g2 3ga f4a f4v mj2",
    "mp3": "mp3 mp2 mp1 mpga mpa m2a",
    "mpc": "mpc mp",
    "mpc8": "mpc",
    "mpeg": "mpg mpeg vob",
    "mpegts": "ts m2ts mts",
    "nistsphere": "nist sph",
    "ogg": "ogg oga opus spx ogv ogx",
    "oma": "oma omg aa3",
    "rm": "rm ra ram",
    "truehd": "thd truehd",
    "wav": "wav wave bwf rf64",
}
"""Endings by FFmpeg's name of the format."""

# Formats whose only ending is their name.
_OTHERS = (
    "ac3,ape,avi,bonk,caf,dsf,dts,flac,flv,mlp,mxf,nut,osq,qcp,qoa,shn,sox,tak,tta,voc,vqf,w64,wsd,wtv,wv,"
    "xwma"
)

DEMUXERS = ",".join([*_ENDINGS, _OTHERS])
"""FFmpeg's names of all formats that can be read, each a single file with sound.

Playlists and session descriptions (hls, dash, concat, sdp, imf), which open other files or the network, are
left out.
"""

AUDIO_ENDINGS = frozenset([*" ".join(_ENDINGS.values()).split(), *_OTHERS.split(",")])
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
