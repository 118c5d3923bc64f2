"""What the API says of codecs, without loading the code that encodes, is what that code does."""

from __future__ import annotations

from typing import get_args

import pytest

from spleeter_microservice.audio.codecs import CODECS, DEFAULT_BITRATE, ENCODERS, OutputFormat
from spleeter_microservice.errors import InvalidFieldsError
from spleeter_microservice.models.catalogue import OFFICIAL
from spleeter_microservice.web.submit.codecs import KILOBITS, Codec, normal_bitrate
from spleeter_microservice.web.submit.options import Stem


def test_the_codecs_are_those_of_the_encoders() -> None:
    assert get_args(Codec) == CODECS


def test_the_bitrates_are_those_of_the_encoders() -> None:
    lossy = {codec: depths[None].kilobits for codec, depths in ENCODERS.items() if None in depths}
    assert lossy == KILOBITS


def test_the_stems_are_those_of_the_models() -> None:
    assert set(get_args(Stem)) == {stem for entry in OFFICIAL for stem in entry.architecture.stems}


@pytest.mark.parametrize("codec", get_args(Codec))
def test_every_bitrate_that_is_let_through_can_be_encoded(codec: Codec) -> None:
    for bitrate in (None, "64k", "128000", "100K", "192001"):
        normal = normal_bitrate(codec, bitrate)
        OutputFormat(codec, normal)
        assert (normal is None) == (codec in ("wav", "flac"))


def test_a_bitrate_has_one_spelling() -> None:
    assert {normal_bitrate("mp3", text) for text in ("128k", "128K", "128000", None)} == {DEFAULT_BITRATE}
    assert normal_bitrate("mp3", "128001") == "128001"


@pytest.mark.parametrize(("codec", "bitrate"), [("mp3", "31k"), ("mp3", "321k"), ("opus", "9999999k")])
def test_a_bitrate_that_a_codec_cannot_have_is_refused(codec: Codec, bitrate: str) -> None:
    with pytest.raises(InvalidFieldsError, match="can have"):
        normal_bitrate(codec, bitrate)
