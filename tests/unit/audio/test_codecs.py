"""Output formats that cannot be written are refused, with those that can."""

from __future__ import annotations

import av
import pytest

from spleeter_microservice.audio.codecs import CODECS, Codec
from spleeter_microservice.audio.encoder import vorbis_quality
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.errors import ConfigurationError


def test_every_codec_of_official_spleeter_is_available() -> None:
    assert CODECS.keys() >= {"wav", "mp3", "ogg", "m4a", "wma", "flac"}


@pytest.mark.parametrize("codec", CODECS)
def test_every_encoder_is_in_the_installed_libraries(codec: str) -> None:
    for encoder in CODECS[codec].encoders.values():
        assert av.Codec(encoder.name, "w").name == encoder.name
        assert encoder.muxer in av.formats_available


@pytest.mark.parametrize(
    ("bitrate", "bits_per_second"),
    [("128k", 128_000), ("192000", 192_000), (" 96K ", 96_000), ("64.5k", 64_500), (None, 128_000)],
)
def test_a_bitrate_is_a_number_with_or_without_k(bitrate: str | None, bits_per_second: int) -> None:
    assert OutputFormat("m4a", bitrate=bitrate).bits_per_second == bits_per_second
    assert not OutputFormat("m4a", bitrate=bitrate).note


def test_the_nearest_bitrate_that_a_codec_has_is_used_and_named() -> None:
    chosen = OutputFormat("mp3", bitrate="200k")
    assert chosen.bits_per_second == 192_000
    assert "192k" in chosen.note
    assert not OutputFormat("mp3", bitrate="320000").note


@pytest.mark.parametrize(
    "bitrate", ["", "fast", "-128k", "128kbit", "1e5", "128M", "0", "31k", "321k", "nan"]
)
def test_a_wrong_or_impossible_bitrate_is_refused(bitrate: str) -> None:
    with pytest.raises(ConfigurationError, match="bitrate"):
        OutputFormat("mp3", bitrate=bitrate)


def test_a_lossless_codec_ignores_the_bitrate_but_not_nonsense() -> None:
    assert OutputFormat("wav", bitrate="1k").bits_per_second is None
    with pytest.raises(ConfigurationError, match="bitrate"):
        OutputFormat("wav", bitrate="abc")


@pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.name)
def test_a_sample_rate_that_the_codec_cannot_have_is_refused_with_those_it_can_have(codec: Codec) -> None:
    for rate in (codec.rates[0], codec.rates[-1]):
        assert OutputFormat(codec.name, sample_rate=rate).sample_rate == codec.nearest_rate(rate) == rate
    for rate in (0, codec.rates[0] - 1, codec.rates[-1] + 1):
        with pytest.raises(ConfigurationError, match=f"It can have {codec.possible_rates} Hz") as caught:
            OutputFormat(codec.name, sample_rate=rate)
        assert list(caught.value.fields) == ["sample_rate"]
    assert codec.nearest_rate(44100) == (48000 if codec.name == "opus" else 44100)


def test_an_unknown_codec_is_refused_with_the_list_of_the_known() -> None:
    with pytest.raises(ConfigurationError, match=r"'aac'. Choose one of wav, flac, aiff, alac, mp3"):
        OutputFormat("aac")


@pytest.mark.parametrize(
    ("codec", "depth"), [("mp3", "16"), ("alac", "32f"), ("wav", "8"), ("ogg", "24"), ("wav", "")]
)
def test_a_bit_depth_that_the_codec_cannot_have_is_refused(codec: str, depth: str) -> None:
    with pytest.raises(ConfigurationError, match="bit depth"):
        OutputFormat(codec, bit_depth=depth)


@pytest.mark.parametrize("codec", ["wav", "flac", "alac", "aiff"])
def test_sixteen_bits_are_the_default(codec: str) -> None:
    assert OutputFormat(codec).encoder == OutputFormat(codec, bit_depth="16").encoder


def test_vorbis_quality_grows_with_the_bitrate_and_stays_where_the_encoder_works() -> None:
    qualities = [vorbis_quality(kilobits * 1000) for kilobits in range(64, 501, 4)]
    assert qualities == sorted(qualities)
    assert qualities[0] == 1
    assert 40 < qualities[-1] < 60
