"""What the package parses itself, as functions of bytes that return or raise a documented error."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from spleeter_microservice.access.jwks import Jwks, parse_keys
from spleeter_microservice.access.token_rules import TokenRules, parse_grant
from spleeter_microservice.access.tokens import TokenVerifier
from spleeter_microservice.audio.mp4 import find_boxes
from spleeter_microservice.audio.source import View
from spleeter_microservice.audio.structure import examine, find_sound
from spleeter_microservice.audio.tags import TEXTS_OF_MP4, picture_size
from spleeter_microservice.errors import (
    CheckpointError,
    ConfigurationError,
    ForbiddenAddressError,
    InvalidFieldsError,
    InvalidTokenError,
    MalformedRequestError,
)
from spleeter_microservice.models.manifest import Manifest
from spleeter_microservice.models.tensorflow.checkpoint_reader import read_checkpoint
from spleeter_microservice.models.tensorflow.protobuf import read_fields
from spleeter_microservice.models.tensorflow.sorted_table import read_table
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.sandbox import framing, messages
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration
from spleeter_microservice.settings import Settings, variables
from spleeter_microservice.web.downloads.conditional import is_known, requested_part
from spleeter_microservice.web.submit.bodies import from_form, from_json
from spleeter_microservice.web.submit.file_name import displayed_name
from spleeter_microservice.web.uploads.headers import checksum, file_name, partial_uploads
from tests.fuzz import seeds
from tests.support import forms
from tests.support.issuer import AUDIENCE, ISSUER, encoded
from tests.support.random_models import TINY
from tests.support.tensorflow_files import sealed, table

LONGEST = 3.0
"""Seconds of processor time for one input of at most 64 KiB, in code that is slowed by its measurement."""

_KEY = Ed25519PrivateKey.generate()
_REQUEST = messages.SeparationRequest(Path("song"), {"vocals": Path("vocals.wav")})
# The name of a scanner's function would be imported.
_VARIABLES = sorted({variable.name for variable in variables()} - {"SPLEETER_ANTIVIRUS"})


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes:
        parse: function that parses the bytes.
        seeds: function that returns well-formed inputs to begin with.
        errors: what the parser raises if the bytes are malformed.
    """

    parse: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    errors: tuple[type[Exception], ...] = ()

    def take(self, data: bytes) -> None:
        """Parse an input; raise if that fails in an undocumented way or takes too long."""
        begin = time.process_time()
        with suppress(*self.errors):
            self.parse(data)
        seconds = time.process_time() - begin
        assert seconds < LONGEST, f"took {seconds:.1f} s"


class _Keys(Jwks):
    """The only key of an issuer."""

    async def find(self, key_id: str | None, algorithm: str) -> Ed25519PublicKey | None:
        return _KEY.public_key() if algorithm == "EdDSA" else None


_VERIFIER = TokenVerifier(
    TokenRules((ISSUER,), (AUDIENCE,), grants=(parse_grant("read if groups=x admin=true"),)), _Keys("")
)


def _structure(data: bytes) -> None:
    found, view = examine(View(io.BytesIO(data))), View(io.BytesIO(data))
    assert all(0 <= part.start <= part.end <= len(data) for part in found.parts)
    assert 0 <= found.unread <= len(data)
    find_sound(view)


def _multipart(data: bytes) -> None:
    content_type, _, body = data.partition(b"\n")
    kind = content_type.decode("latin-1")
    whole = forms.read([body], kind)
    assert displayed_name(whole[2]).isprintable() or whole[2]
    assert forms.read([body[at : at + 13] for at in range(0, len(body), 13)], kind) == whole


def _ranges(data: bytes) -> None:
    header, _, condition = data.decode("latin-1").partition("\n")
    part = requested_part(header, None, '"tag"', 1000)
    assert part is None or 0 <= part.start <= part.stop <= 1000
    requested_part(header, condition, '"tag"', 0)
    is_known(condition, '"tag"')


def _options(data: bytes) -> None:
    pairs = [line.partition("=") for line in data.decode("utf-8", "replace").split("\n")]
    with suppress(InvalidFieldsError):
        from_form([(name, value) for name, _, value in pairs])
    from_json(data)


def _tables(data: bytes) -> None:
    with suppress(ValueError):
        read_table(data)
    read_table(table(sealed(data)))


def _checkpoints(data: bytes) -> None:
    """Read a checkpoint whose index has these entries, with right checksums."""
    with TemporaryDirectory() as folder:
        prefix = Path(folder, "model")
        Path(f"{prefix}.index").write_bytes(table(sealed(data)))
        Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
        read_checkpoint(prefix, TINY)


def _configurations(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_bytes(data)
        UNetArchitecture.from_configuration(read_configuration(path))


def _tokens(data: bytes) -> None:
    header, _, claims = data.partition(b"\n")
    signed = f"{encoded(header)}.{encoded(claims)}"
    _verify(f"{signed}.{encoded(_KEY.sign(signed.encode()))}")
    _verify(data.decode("latin-1"))


def _verify(token: str) -> None:
    """Verify a token without an event loop, which nothing here waits for."""
    with suppress(StopIteration, InvalidTokenError):
        _VERIFIER.verify(token).send(None)


def _settings(data: bytes) -> None:
    """Read the setting that the first byte chooses."""
    name = _VARIABLES[data[0] % len(_VARIABLES)] if data else ""
    Settings.from_environment({name: data[1:].decode("utf-8", "surrogateescape")})


def _boxes(data: bytes) -> None:
    find_boxes(View(io.BytesIO(data)), TEXTS_OF_MP4)


def _upload_headers(data: bytes) -> None:
    header = data.decode("latin-1")
    for parse in (checksum, partial_uploads, lambda text: displayed_name(file_name(text)).encode()):
        with suppress(MalformedRequestError):
            parse(header)


def _messages(data: bytes) -> None:
    message = framing.decode(data)
    with suppress(framing.ProtocolError):
        messages.progress(message)
    messages.separation(message, _REQUEST)


_FORM = (InvalidFieldsError, MalformedRequestError)

TARGETS = {
    "multipart": Target(_multipart, seeds.multipart, _FORM),
    "options": Target(_options, seeds.options, _FORM),
    "ranges": Target(_ranges, seeds.ranges),
    "chunks": Target(_structure, lambda: seeds.audio("wav", "aiff", "caf", "w64", "au")),
    "mp4": Target(_structure, lambda: seeds.audio("m4a", "mp4")),
    "boxes": Target(_boxes, lambda: seeds.audio("m4a")),
    "covers": Target(picture_size, seeds.pictures),
    "ogg": Target(_structure, lambda: seeds.audio("ogg", "opus")),
    "flac": Target(_structure, lambda: seeds.audio("flac")),
    "mp3": Target(_structure, lambda: seeds.audio("mp3")),
    "others": Target(_structure, lambda: seeds.audio("wma", "webm", "mkv", "tta", "aac", "wv", "avi")),
    "tables": Target(_tables, seeds.tables, (ValueError,)),
    "checkpoints": Target(_checkpoints, seeds.blocks, (CheckpointError,)),
    "protobuf": Target(lambda data: list(read_fields(data)), seeds.protobuf, (ValueError,)),
    "manifests": Target(lambda data: Manifest.from_json(data.decode()), seeds.manifests, (ValueError,)),
    "configurations": Target(_configurations, seeds.configurations, (ConfigurationError,)),
    "tokens": Target(_tokens, seeds.tokens),
    "keys": Target(parse_keys, seeds.keys, (ValueError,)),
    "settings": Target(_settings, lambda: seeds.settings(len(_VARIABLES)), (ConfigurationError,)),
    "urls": Target(
        lambda data: UrlPolicy().check(data.decode("utf-8", "surrogateescape")),
        seeds.urls,
        (ForbiddenAddressError,),
    ),
    "upload-headers": Target(_upload_headers, seeds.upload_headers),
    "messages": Target(_messages, seeds.messages, (framing.ProtocolError,)),
}
