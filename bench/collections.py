"""What plain decoding yields of the files in a folder, and what the reader does.

Collections of odd files, such as the test data of tag libraries, show where the two differ:
``python -m bench.collections FOLDER`` prints a line for each file that either of them can decode.
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
    """What became of one file.

    Attributes:
        plain: seconds that plain decoding yields.
        ours: seconds that the reader yields.
        silence: seconds of these that only fill gaps in the file's times.
        warnings: codes of the reader's warnings and their numbers, or the error that it raised.
    """

    plain: float
    ours: float
    silence: float
    warnings: str

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
    plain, ours = plain_seconds(path), 0
    try:
        with AudioReader(path, duration=_LONGEST) as reader:
            ours = sum(map(len, reader.blocks(1 << 16)))
            codes = Counter(warning.code for warning in reader.warnings)
            return Findings(
                plain,
                ours / reader.sample_rate,
                0.0,
                ", ".join(f"{code} ×{n}" if n > 1 else code for code, n in codes.items()),
            )
    except InputError as error:
        return Findings(plain, 0.0, 0.0, f"{type(error).__name__}: {str(error).replace(str(path), 'It')}")


def main() -> int:
    """Print a line for each file that can be decoded, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with files, also in its folders")
    folder = parser.parse_args().folder
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {path: examine(path) for path in paths}
    for path, findings in found.items():
        if findings.plain >= _LEAST or findings.ours:
            mark = "!" if findings.differs else " "
            name = path.relative_to(folder)
            print(f"{mark} {findings.plain:9.2f} {findings.ours:9.2f}  {name}  {findings.warnings}")
    playing = [findings for findings in found.values() if findings.plain >= _LEAST]
    print(f"{len(found)} files, {len(playing)} with sound, {sum(each.differs for each in playing)} differ")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
