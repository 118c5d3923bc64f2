"""Well-formed inputs of every parser, from which the search for malformed ones begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from spleeter_microservice.models.manifest import FileRecord, Manifest
from spleeter_microservice.models.tensorflow.sorted_table import read_table
from spleeter_microservice.web.openapi.examples import WAITING
from tests.support.audio_files import KINDS, encode_kind, noise
from tests.support.damaged_forms import damaged_forms
from tests.support.issuer import KeySet, Signer, usual
from tests.support.random_models import TINY
from tests.support.tagged_songs import jpeg, png
from tests.support.tensorflow_files import block

_CHECKPOINTS = Path(__file__).parents[1] / "golden" / "data" / "checkpoints"
_SETTINGS = (
    "8", "0.5", "on", "required", "production", "info", "~/data", "wav,mp3", "example.com,*.example.org",
    "https://example.com/path?query", "postgresql://u:p%40@[::1]:5433,two/db?sslmode=require&schema=public",
    "s3://bucket/prefix", "abfs://container@account.dfs.core.windows.net", "file:///data",
    "10.0.0.7,10.1.0.0/16,[fd00::1]:8080,*.internal:443", "unix:///run/clamd.ctl", "tcp://clamav:3310",
    "separate read if repository=ann/songs ref=refs/heads/main;read if admin=true", "org_id",
    "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "0123456789abcdef0123456789abcdef", "/metrics", "0.0.0.0",
)  # fmt: skip


def audio(*endings: str) -> Iterator[bytes]:
    """Yield a file of every kind with one of these endings."""
    with TemporaryDirectory() as folder:
        for kind in KINDS:
            if kind.endswith(endings):
                yield encode_kind(Path(folder, kind), noise(2000), kind).read_bytes()


def pictures() -> Iterator[bytes]:
    """Yield covers."""
    yield from (png(), jpeg())


def multipart() -> Iterator[bytes]:
    """Yield forms, after a line with their content type."""
    for _, content_type, body in damaged_forms(b"sound", 60, 0):
        yield content_type.encode("latin-1", "replace") + b"\n" + body


def options() -> Iterator[bytes]:
    """Yield the options of a song as lines and as JSON."""
    chosen = WAITING["options"] | {"source_url": "https://example.com/a.mp3", "metadata": {"a": "b"}}
    yield json.dumps(chosen).encode()
    yield "\n".join(f"{name}={value}" for name, value in chosen.items()).encode()


def ranges() -> Iterator[bytes]:
    """Yield values of Range, each before one of If-Range or If-None-Match."""
    yield from (b'bytes=0-99\n"tag"', b'bytes=-5\nW/"tag", "other"', b"bytes = 7-\n*", b"bytes=0-1,5-9\n")


def tables() -> Iterator[bytes]:
    """Yield whole indexes, and blocks of them."""
    yield from (path.read_bytes() for path in _CHECKPOINTS.glob("*/model.index"))
    yield from blocks()


def blocks() -> Iterator[bytes]:
    """Yield all entries of indexes in one block, without its trailer."""
    for path in _CHECKPOINTS.glob("*/model.index"):
        entries = read_table(path.read_bytes()).items()
        yield block((name.encode(), value) for name, value in entries)[:-5]


def protobuf() -> Iterator[bytes]:
    """Yield the entries of an index."""
    for path in _CHECKPOINTS.glob("*/model.index"):
        yield from [*read_table(path.read_bytes()).values()][:3]


def manifests() -> Iterator[bytes]:
    """Yield the manifest of a model."""
    record = {"vocals.onnx": FileRecord("aa", 5)}
    manifest = Manifest("tiny", "a test", "MIT", "2026-01-02", TINY, 3, "00", "1", "f", record)
    yield _in_one_line(manifest.to_json())


def configurations() -> Iterator[bytes]:
    """Yield configurations in Spleeter's format."""
    yield from (_in_one_line(path.read_text()) for path in _CHECKPOINTS.glob("*/config.json"))


def tokens() -> Iterator[bytes]:
    """Yield the header and the claims of tokens, on a line each."""
    header = {"typ": "at+jwt", "alg": "EdDSA", "kid": "k"}
    access = {"realm_access": {"roles": ["read"]}, "token_use": "access", "groups": ["x"], "admin": True}
    for claims in (usual(exp=1 << 33, nbf=0), usual(exp=1 << 33, aud=["spleeter"], scp=["read"], **access)):
        yield f"{json.dumps(header)}\n{json.dumps(claims)}".encode()


def keys() -> Iterator[bytes]:
    """Yield the key sets of issuers."""
    signers = Signer.rsa("r"), Signer.ec("e"), Signer.ec("k", "ES256K")
    yield from (KeySet([signer.jwk()]).document() for signer in signers)


def settings(variables: int) -> Iterator[bytes]:
    """Yield every text for every variable, whose number is the first byte."""
    yield from (bytes([number]) + text.encode() for number in range(variables) for text in _SETTINGS)


def urls() -> Iterator[bytes]:
    """Yield addresses of songs."""
    yield from (
        b"https://example.com/a.mp3?b=%20#c",
        b"http://user:word@[2606:4700::1111]:80/",
        b"https://xn--bcher-kva.example./\xc3\xbc",
        b"http://[::ffff:127.0.0.1]/",
        b"http://0x7f.1/",
    )


def upload_headers() -> Iterator[bytes]:
    """Yield headers of resumable uploads."""
    yield b"filename w5xiZXIgdW5zLndhdg==,filetype YXVkaW8vd2F2,is_confidential"
    yield b"final;/v1/uploads/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b 0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0c"
    yield b"sha1 Lve95gjOVATpfV8EL5X4nxwjKHE="


def messages() -> Iterator[bytes]:
    """Yield what an inference process sends."""
    yield json.dumps({"type": "progress", "done": 5, "total": None, "steps": 7, "segments": 1}).encode()
    measurements = {
        "level": -20.5,
        "peak": 0.5,
        "beyond_full_scale": 0,
        "energy_share": 0.4,
        "correlation": 0.1,
    }
    stem = {
        "clipped_samples": 0,
        "measurements": measurements | {"anomaly": None, "estimated_sdr": 6.5},
        "samples_per_pixel": 9,
        "peaks": [-1, 1],
    }
    whole = {"level": None, "residual": -60.0, "expected_residual": None, "anomaly": "silent"}
    result = {"type": "result", "measurements": whole, "stems": {"vocals": stem}, "samples": 44100}
    result |= {"stages": {"read": 0.5}, "provider": "CPU", "track": {"number": 1, "language": "eng"}}
    result |= {"warnings": [{"code": "gap", "message": "A gap.", "position": 0.5}]}
    yield json.dumps(
        result | dict.fromkeys(("duration", "elapsed", "first_block", "start_time"), 1.0)
    ).encode()


def _in_one_line(text: str) -> bytes:
    return json.dumps(json.loads(text)).encode()
