"""Compare the reader with plain decoding on odd files, such as the test data of a tag library.

Each line has the seconds that plain decoding yields, those that the reader yields, the file, and the
reader's warnings or its error. An exclamation mark stands before files of which the two differ.
"""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av

from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import InputError

_LEAST = 0.1  # seconds of sound that a file must have, and by which the two may differ
_LONGEST = 3600.0  # seconds to decode of a file at most


@dataclass(frozen=True)
class Findings:
    """The results for one file.

    Attributes:
        plain: seconds that plain decoding yields.
        ours: seconds that the reader yields.
        remarks: codes of the reader's warnings, or the error that it raised.
    """

    plain: float
    ours: float
    remarks: str

    @property
    def differs(self) -> bool:
        """Whether there is sound, and the reader yields another length of it."""
        return self.plain >= _LEAST and abs(self.plain - self.ours) > _LEAST


def plain_seconds(path: Path) -> float:
    """Return the seconds of sound that FFmpeg finds in a file, whatever is wrong with it."""
    seconds = 0.0
    with suppress(av.FFmpegError, ValueError), av.open(str(path), metadata_errors="replace") as container:
        streams = [stream for stream in container.streams.audio if stream.codec_context]
        for packet in container.demux(streams[0]) if streams else ():
            with suppress(av.FFmpegError):
                for frame in packet.decode():
                    seconds += frame.samples / frame.sample_rate
            if seconds > _LONGEST:
                break
    return seconds


def examine(path: Path) -> Findings:
    """Decode a file in both ways."""
    plain = plain_seconds(path)
    try:
        with AudioReader(path, duration=_LONGEST) as reader:
            ours = sum(map(len, reader.blocks(1 << 16))) / reader.sample_rate
    except InputError as error:
        return Findings(plain, 0.0, f"{type(error).__name__}: {str(error).replace(str(path), 'the file')}")
    codes = Counter(warning.code for warning in reader.warnings)
    return Findings(plain, ours, ", ".join(f"{times} × {code}" for code, times in codes.items()))


def main() -> int:
    """Print a line for each file that one of the two decodes, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder, whose folders are searched too")
    folder = parser.parse_args().folder
    files = total = different = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found = examine(path)
        files += 1
        total += found.plain >= _LEAST
        different += found.differs
        if found.ours or found.plain >= _LEAST:
            name, mark = path.relative_to(folder), "!" if found.differs else " "
            print(
                f"{mark} {found.plain:9.2f} {found.ours:9.2f}  {name}  {found.remarks}".rstrip(), flush=True
            )
    print(f"{files} files, {total} with at least {_LEAST:g} s of sound, {different} of them differ")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
