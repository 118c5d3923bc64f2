"""Each kind of file that cannot be separated is refused with its own error, which says what to do."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio import source
from spleeter_microservice.audio.containers import DEMUXERS
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import (
    EmptyInputError,
    EncryptedInputError,
    InputError,
    InvalidSamplesError,
    NoAudioStreamError,
    NoSamplesError,
    NotAudioError,
    TruncatedInputError,
    UnreadableInputError,
)
from tests.support.audio_files import RATE, encode, encode_kind, noise, read

SONG = noise(RATE // 2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match=r"/none\.wav does not exist\. Check"):
        AudioReader(tmp_path / "none.wav")


def test_a_path_through_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnreadableInputError, match="cannot be opened"):
        AudioReader(tmp_path / "file" / "song.wav")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match=r"is a directory\. Pass an audio file"):
        AudioReader(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableInputError, match="not a regular file"):
        AudioReader(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["zero\0byte.wav", "x" * 300])
def test_an_impossible_name_is_reported(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableInputError):
        AudioReader(tmp_path / name)


def test_a_file_that_may_not_be_read_is_reported(unprivileged: Path) -> None:
    path = unprivileged / "song.wav"
    path.write_bytes(b"RIFF")
    path.chmod(0)
    with pytest.raises(UnreadableInputError, match=r"song\.wav may not be read by this user\. Change"):
        AudioReader(path)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Yield a directory of our own, and drop root's privileges, which override permissions."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(stat.S_IRWXU)
        shutil.rmtree(folder)


def test_a_file_without_bytes_is_empty(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").touch()
    with pytest.raises(EmptyInputError, match=r"song\.mp3 is empty\. Copy or download"):
        AudioReader(tmp_path / "song.mp3")


@pytest.mark.parametrize(
    "content",
    [
        b"This is a text about music.\n" * 100,
        b"\0" * 100_000,
        b"x",
        b"\x89PNG\r\n\x1a\n" + bytes(1000),
        b"%PDF-1.7\n" + bytes(2000),
        b"PK\x03\x04" + bytes(2000),
        np.random.default_rng(7).bytes(200_000),
    ],
)
@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song"])
def test_a_file_that_is_not_audio_is_refused_whatever_its_name(
    tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotAudioError, match=name):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "beginning",
    [
        b"RIFF\x24\0\0\0WAVE",
        b"RIFF",
        b"FORM\0\0\0\x04AIFF",
        b"OggS",
        b"OggS" + bytes(30),
        b"\x1a\x45\xdf\xa3",
        b"ID3\x03\0\0\x7f\x7f\x7f\x7f",
        b"fLaC",
        b"TTA1",
        b"\0\0\0\x08ftyp",
        b"\0\0\0\x01moov" + b"\xff" * 8,
        b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel" + b"\xff" * 100,
        b"\xff\xfb\x90\x00" + bytes(30) + b"\0\0Xing\0\0\0\x0f",
    ],
)
def test_a_file_with_only_the_beginning_of_audio_is_refused(tmp_path: Path, beginning: bytes) -> None:
    (tmp_path / "song").write_bytes(beginning)
    with pytest.raises((NotAudioError, TruncatedInputError), match="song"):
        read(tmp_path / "song")


def test_a_picture_is_not_audio(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "picture.png"), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame(16, 16, "rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(NotAudioError, match="not in a known audio format"):
        AudioReader(tmp_path / "picture.png")


@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
def test_a_film_without_sound_is_refused(tmp_path: Path, muxer: str) -> None:
    path = tmp_path / "silent"
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(NoAudioStreamError, match="has no audio track"):
        AudioReader(path)


@pytest.mark.parametrize("entry", [b"enca", b"drms", b"aavd"])
@pytest.mark.parametrize("kind", ["m4a", "index-first.m4a", "fragmented.mp4"])
def test_protected_mp4_is_refused(tmp_path: Path, kind: str, entry: bytes) -> None:
    path = encode_kind(tmp_path / "song.m4a", SONG, kind)
    data = path.read_bytes()
    assert data.count(b"mp4a") == 1
    path.write_bytes(data.replace(b"mp4a", entry))
    with pytest.raises(EncryptedInputError, match=r"song\.m4a is protected by DRM"):
        AudioReader(path)


def test_protected_wma_is_refused(tmp_path: Path) -> None:
    path = encode_kind(tmp_path / "song.wma", SONG, "wma")
    data = path.read_bytes()
    codec_list = bytes.fromhex("4052d1861d31d011a3a400a0c90348f6")
    content_encryption = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
    assert data.count(codec_list) == 1
    path.write_bytes(data.replace(codec_list, content_encryption))
    with pytest.raises(EncryptedInputError, match="DRM"):
        AudioReader(path)


@pytest.mark.parametrize("kind", ["s16.wav", "aiff", "flac"])
def test_a_file_of_zero_length_has_no_samples(tmp_path: Path, kind: str) -> None:
    path = encode_kind(tmp_path / "song", SONG[:0], kind)
    with pytest.raises(NoSamplesError, match="its length is zero"):
        read(path)


@pytest.mark.parametrize("kind", ["f32.wav", "f64.wav"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e18, -3e38])
def test_samples_that_are_not_finite_or_too_large_become_silence_or_are_refused(
    tmp_path: Path, kind: str, value: float
) -> None:
    song = SONG.copy()
    song[RATE // 4, 1] = value
    song[RATE // 3, 0] = value
    path = encode_kind(tmp_path / "song.wav", song, kind)
    with AudioReader(path) as reader:
        result = np.concatenate(list(reader.blocks(3000)))
        (warning,) = reader.warnings
    assert (warning.code, round(warning.position, 3)) == ("invalid-samples", 0.25)
    np.testing.assert_allclose(result, np.where(np.abs(song) <= 1e13, song, 0), rtol=2**-24, atol=2**-31)
    with pytest.raises(InvalidSamplesError, match=r"song\.wav .* at 0\.250 s\. Samples are not finite"):
        read(path, strict=True)
    with pytest.raises(InvalidSamplesError, match=r"at 0\.2(49|50) s"):
        read(path, offset=0.1, sample_rate=RATE // 2, strict=True)
    assert len(read(path, duration=0.24, strict=True)) == round(0.24 * RATE)


def test_a_sample_that_is_not_finite_is_found_in_surround(tmp_path: Path) -> None:
    surround = np.zeros((RATE, 6), np.float32)
    surround[RATE // 2, 4] = np.inf
    with pytest.raises(InvalidSamplesError, match=r"at 0\.500 s"):
        read(encode_kind(tmp_path / "song.wav", surround, "f32.wav"), strict=True)


@pytest.mark.parametrize("song", [np.full_like(SONG, np.nan), SONG * np.float32(1e18)], ids=["nan", "1e18"])
@pytest.mark.parametrize("frames", [1000, len(SONG) * 2], ids=["blocks", "one block"])
def test_a_song_most_of_whose_samples_are_invalid_is_refused(
    tmp_path: Path, song: Waveform, frames: int
) -> None:
    path = encode_kind(tmp_path / "song.wav", song, "f32.wav")
    with AudioReader(path) as reader, pytest.raises(InvalidSamplesError, match="Most samples of"):
        list(reader.blocks(frames))


def test_large_numbers_are_accepted(tmp_path: Path) -> None:
    song = np.full((1000, 2), np.float32(9e12))
    np.testing.assert_array_equal(read(encode_kind(tmp_path / "song.wav", song, "f32.wav")), song)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        yield server


def playlists(target: str) -> dict[str, str]:
    """Return files, by name, that make FFmpeg open another one."""
    return {
        "song.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        "song.ffconcat": f"ffconcat version 1.0\nfile '{target}'\n",
        "song.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        "song.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "song.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    }


@pytest.mark.parametrize("name", playlists(""))
@pytest.mark.parametrize("hardened", ["by the list of formats", "without that list"])
def test_no_file_can_make_the_reader_open_another_file_or_the_network(
    tmp_path: Path,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    hardened: str,
) -> None:
    secret = encode_kind(tmp_path / "secret.wav", SONG, "s16.wav")
    if hardened == "without that list":  # the second line of defence
        monkeypatch.setattr(source, "DEMUXERS", DEMUXERS + ",hls,concat,sdp,dash,rtp")
    for target in (secret.name, f"file:{secret}", f"http://127.0.0.1:{listener.getsockname()[1]}/song.wav"):
        (tmp_path / name).write_text(playlists(target)[name])
        with pytest.raises(NotAudioError, match="not in a known audio format"):
            read(tmp_path / name)
    with contextlib.suppress(TimeoutError):
        listener.accept()
        pytest.fail("A connection was made.")


def test_the_playlists_work_in_ffmpeg_without_these_defences(tmp_path: Path) -> None:
    secret = encode_kind(tmp_path / "secret.wav", SONG, "s16.wav")
    (tmp_path / "song.ffconcat").write_text(playlists(secret.name)["song.ffconcat"])
    with av.open(str(tmp_path / "song.ffconcat")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == len(SONG)


def test_nothing_is_printed_about_hostile_files(tmp_path: Path) -> None:
    for name, content in playlists("secret.wav").items():
        (tmp_path / name).write_text(content)
    script = (
        "import sys; from pathlib import Path\n"
        "from spleeter_microservice.errors import NotAudioError\n"
        "from spleeter_microservice.audio import source\n"
        "from spleeter_microservice.audio.reader import AudioReader\n"
        "source.DEMUXERS += ',hls,concat,dash,sdp'\n"
        "for name in sys.argv[1:]:\n"
        "    try: AudioReader(Path(name))\n"
        "    except NotAudioError: pass\n"
        "    else: raise SystemExit(name)\n"
    )
    names = sorted(map(str, tmp_path.iterdir()))
    result = subprocess.run(
        [sys.executable, "-c", script, *names], check=False, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_deeply_nested_boxes_are_refused(tmp_path: Path) -> None:
    depth = 20_000
    boxes = b"".join((8 * (depth - i)).to_bytes(4, "big") + b"trak" for i in range(depth))
    moov = (len(boxes) + 8).to_bytes(4, "big") + b"moov" + boxes
    path = tmp_path / "nested.mp4"
    path.write_bytes(b"\0\0\0\x10ftypM4A \0\0\0\0" + moov)
    with pytest.raises((NotAudioError, NoAudioStreamError)):
        read(path)


@pytest.mark.parametrize("rate", [1, 999, 6_000_001, 2_000_000_000])
def test_an_implausible_sample_rate_is_refused(tmp_path: Path, rate: int) -> None:
    path = encode_kind(tmp_path / "song.wav", SONG, "s16.wav")
    path.write_bytes(path.read_bytes().replace((RATE).to_bytes(4, "little"), rate.to_bytes(4, "little"), 1))
    with pytest.raises(NotAudioError, match=rf"sample rate of {rate} Hz"):
        read(path)


KINDS_TO_CORRUPT = ["s16.wav", "aiff", "flac", "mp3", "index-first.m4a", "ogg", "opus", "wma", "webm"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for kind in KINDS_TO_CORRUPT:
        encode_kind(folder / kind, SONG[:8000], kind)
    return folder


@given(
    kind=st.sampled_from(KINDS_TO_CORRUPT),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_a_corrupted_file_is_read_or_refused_without_another_error(
    whole: Path, kind: str, changes: list[tuple[float, bytes]]
) -> None:
    data = bytearray((whole / kind).read_bytes())
    for where, new in changes:
        # The first bytes matter most.
        at = int(where**4 * len(data))
        data[at : at + len(new)] = new
    path = whole / f"corrupted.{kind}"
    path.write_bytes(data)
    with contextlib.suppress(InputError), AudioReader(path, duration=60) as reader:
        for _ in reader.blocks(RATE):
            pass


def test_the_file_is_closed_after_a_refusal_and_after_reading(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.wav", SONG, muxer="wav", encoder="pcm_s16le")
    (tmp_path / "text").write_text("text")
    before = open_files()
    for _ in range(3):
        read(path)
        with AudioReader(path) as reader:
            reader.close()
        with pytest.raises(NotAudioError):
            AudioReader(tmp_path / "text")
    assert open_files() == before


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
