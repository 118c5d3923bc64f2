"""What a caller may ask for, field by field."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from spleeter_microservice.audio.codecs import CODECS, DEFAULT_BITRATE
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.errors import ForbiddenAddressError, InvalidFieldsError
from spleeter_microservice.jobs.job import JobOptions
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.web.services import ApiConfig
from spleeter_microservice.web.submit.bodies import from_form, from_json
from spleeter_microservice.web.submit.options import SubmissionForm

CONFIG = replace(api_config(Settings()), signing_webhooks=True)
MODEL = RegisteredModel("4stems", ("vocals", "drums", "bass", "other"), True)
URL = "https://example.com/song.mp3"


def wrong(**values: Any) -> str:
    """Return the field that is invalid."""
    with pytest.raises(InvalidFieldsError) as caught:
        from_json(json.dumps({"source_url": URL} | values).encode())
    (field,) = caught.value.fields
    return field


def test_everything_can_be_left_out() -> None:
    assert from_form([]) == SubmissionForm()
    assert (
        SubmissionForm().job_options(RegisteredModel("2stems", ("vocals", "accompaniment"), True))
        == JobOptions(bitrate=None)  # WAV has none
    )


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("bit_depth", {"codec": "mp3", "bit_depth": "16"}),
        ("bit_depth", {"codec": "flac", "bit_depth": "32f"}),
        ("sample_rate", {"codec": "opus", "sample_rate": "44100"}),
        ("sample_rate", {"sample_rate": "999999"}),
        ("channels", {"codec": "ogg", "channels": "source"}),
        ("bitrate", {"codec": "mp3", "bitrate": "9000k"}),
        ("level", {"level": "-71"}),
        ("level_each", {"level_each": True}),
        ("codec", {"codec": "stem.mp4", "only": ["drums"]}),
        ("codec", {"codec": "stem.mp4", "mixes": {"instrumental": "instrumental"}}),
        ("channels", {"codec": "stem.mp4", "channels": "source"}),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_name(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        check(SubmissionForm(**values))
    assert list(caught.value.fields) == [field]


def test_best_quality_implies_what_the_request_does_not_choose() -> None:
    for values, found in (
        ({"quality": "best"}, (True, "full")),
        ({"quality": "best", "mwf": False, "bandwidth": "official"}, (False, "official")),
        ({"quality": "best", "bandwidth": "16kHz"}, (True, "16kHz")),
    ):
        options = from_json(json.dumps({"source_url": URL} | values).encode()).job_options(MODEL)
        again = JobOptions.from_json(options.to_json())
        assert options == again
        assert (again.separation.quality, again.mwf, again.bandwidth) == ("best", *found)


def bitrate(codec: str, text: str | None) -> str | None:
    return SubmissionForm(stems=4, codec=codec, bitrate=text).job_options(MODEL).bitrate


def test_a_bitrate_has_one_spelling() -> None:
    spellings = ("128k", "128K", "128000", "128kbps", "128 kbps", "128 KBIT/S", "128000bps", None)
    assert {bitrate("mp3", text) for text in spellings} == {DEFAULT_BITRATE}
    assert bitrate("m4a", "128001") == "128001"
    assert bitrate("mp3", "200k") == "192k"  # the nearest that MP3 has


@pytest.mark.parametrize("codec", CODECS)
def test_every_accepted_bitrate_can_be_encoded(codec: str) -> None:
    for text in (None, "64k", "128000", "100K", "192001"):
        normal = bitrate(codec, text)
        OutputFormat(codec, normal)
        assert (normal is None) == (CODECS[codec].kilobits is None)


@pytest.mark.parametrize(("codec", "text"), [("mp3", "31k"), ("mp3", "321k"), ("opus", "9999999k")])
def test_a_bitrate_that_the_codec_cannot_have_is_refused(codec: str, text: str) -> None:
    with pytest.raises(InvalidFieldsError, match="can have") as caught:
        bitrate(codec, text)
    assert [*caught.value.fields] == ["bitrate"]


def test_all_stems_are_as_good_as_none_named() -> None:
    sent = from_form([("stems", "4"), ("only", "drums,bass"), ("only", "vocals,other")])
    assert sent.job_options(MODEL).only == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stems", 3), ("stems", "2"), ("stems", 2.5), ("stems", None), ("codec", "exe"), ("bitrate", "fast"),
        ("bitrate", "0k"), ("bitrate", "-128k"), ("bitrate", "128kk"), ("offset", -1), ("offset", "1"),
        ("offset", 1e7), ("offset", 10**400), ("duration", 0), ("duration", -1), ("bandwidth", "wide"),
        ("mwf", 1), ("mwf", "yes"), ("only", "vocals"), ("metadata", []),
        ("metadata", {str(i): "" for i in range(51)}),
        ("retention_hours", 0), ("retention_hours", True), ("callback_url", ""), ("callback_url", "x" * 2049),
        ("level", "loud"), ("level", "-100"), ("level", "3"), ("level", 14),
        ("mixes", ["acapella"]), ("mixes", {str(i): "vocals" for i in range(9)}), ("without", "drums"),
        ("model", "3stems"), ("model", 4), ("unknown", 1), ("file", "x"), ("source_url", 1),
        ("source_url", ""), ("source_url", None),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_its_field(field: str, value: Any) -> None:
    assert wrong(**{field: value}) == field


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\x7f", "\x85", "\ud800"], ids=ascii)
@pytest.mark.parametrize("field", ["source_url", "callback_url"])
def test_control_characters_and_half_ones_are_refused(field: str, text: str) -> None:
    assert wrong(**{field: text}) == field


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=ascii)
def test_so_they_are_in_metadata(text: str) -> None:
    assert wrong(metadata={"title": text}) == "metadata.title"
    assert wrong(metadata={text: "title"}).startswith("metadata.")
    with pytest.raises(InvalidFieldsError):
        from_form([("metadata", json.dumps({"title": text}))])


@pytest.mark.parametrize("value", [1, None, {"a": "b"}, "x" * 1001])
def test_metadata_are_texts(value: Any) -> None:
    assert wrong(metadata={"title": value}) == "metadata.title"


def test_a_model_decides_the_stems_and_the_bandwidth() -> None:
    wide = replace(MODEL, name="4stems-16kHz", bandwidth="16kHz")
    form = from_form([("model", "4stems-16kHz"), ("stems", "4"), ("quality", "best")])
    check(form)
    options = form.job_options(wide)
    assert (options.model, options.stems, options.bandwidth) == ("4stems-16kHz", 4, "16kHz")
    assert options.digest("v1") == replace(options, model=None).digest("v1")
    full = from_form([("model", "4stems-16kHz"), ("bandwidth", "full")])
    check(full)
    assert full.job_options(wide).bandwidth == "full"


@pytest.mark.parametrize(
    ("model", "field", "text"),
    [
        ("4stems", "stems", "2"),
        ("4stems", "bandwidth", "16kHz"),
        ("4stems-16kHz", "bandwidth", "official"),
    ],
)
def test_what_contradicts_the_model_is_refused(model: str, field: str, text: str) -> None:
    with pytest.raises(InvalidFieldsError, match=f"model {model}") as caught:
        check(from_form([("model", model), (field, text)]))
    assert [*caught.value.fields] == [field]


def test_a_stem_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(InvalidFieldsError, match="no piano"):
        SubmissionForm(stems=4, only=["piano"]).job_options(MODEL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mixes", {"k": "piano"}), ("mixes", {"k": "vocals@loud"}), ("mixes", {"vocals": "bass"}),
        ("mixes", {"nul": "bass"}), ("without", ["piano"]), ("without", [*MODEL.stems]), ("only", ["k"]),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_by_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        SubmissionForm(stems=4, **{field: value}).job_options(MODEL)
    assert [*caught.value.fields] == [field]


def test_a_file_of_all_stems_needs_a_model_that_has_its_four() -> None:
    form = SubmissionForm(stems=4, codec="stem.mp4")
    assert form.job_options(MODEL).outputs(MODEL.stems) == ("stems",)
    assert form.job_options(MODEL).bitrate == "256k"
    with pytest.raises(
        InvalidFieldsError, match=r"drums, bass, other, vocals, but .* such as 4stems"
    ) as caught:
        SubmissionForm(codec="stem.mp4").job_options(
            RegisteredModel("2stems", ("vocals", "accompaniment"), True)
        )
    assert [*caught.value.fields] == ["codec"]


def test_with_a_mix_in_place_of_stems_no_stem_is_asked_for() -> None:
    form = SubmissionForm(stems=4, only=["k"], mixes={"k": "vocals+bass"})
    assert form.job_options(MODEL).outputs(MODEL.stems) == ("k",)


def test_the_operator_bounds_how_long_things_are_kept() -> None:
    with pytest.raises(InvalidFieldsError, match="At most 168 hours"):
        check(SubmissionForm(retention_hours=169))
    assert SubmissionForm(retention_hours=168).retention(CONFIG) == timedelta(days=7)
    assert SubmissionForm().retention(CONFIG) == timedelta(hours=24)
    short = replace(CONFIG, max_retention=timedelta(hours=1))
    assert SubmissionForm().retention(short) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1/", "public"), ("ftp://example.com/", "http"), ("https://example.com:22/", "port 22")],
)
def test_a_callback_must_be_an_address_that_is_called(url: str, reason: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=reason) as caught:
        check(SubmissionForm(callback_url=url))
    assert [*caught.value.fields] == ["callback_url"]


def test_there_are_no_callbacks_without_a_secret_to_sign_them() -> None:
    with pytest.raises(InvalidFieldsError, match="SPLEETER_WEBHOOK_SECRET"):
        check(SubmissionForm(callback_url="https://example.com/"), api_config(Settings()))
    check(SubmissionForm(callback_url="https://example.com/"))


@pytest.mark.parametrize(
    ("destination", "setting", "reason"),
    [
        ("s3://songs/ann", {}, "not in a bucket that you may use"),
        ("s3://songs/ann/../bob", {"SPLEETER_BUCKETS": "s3://songs"}, "malformed"),
        ("https://example.com/v.wav?sig=1", {}, "SPLEETER_DESTINATION_URLS"),
        (
            {"vocals": "https://example.com/v.wav"},
            {"SPLEETER_BUCKETS": "s3://songs"},
            "SPLEETER_DESTINATION_",
        ),
        ({"vocals": "http://10.0.0.1/"}, {"SPLEETER_DESTINATION_URLS": "on"}, "public"),
        ({"vocals": "s3://songs/v.wav"}, {"SPLEETER_DESTINATION_URLS": "on"}, "must begin with http"),
    ],
)
def test_a_destination_must_be_one_that_the_operator_allows(
    destination: str | dict[str, str], setting: dict[str, str], reason: str
) -> None:
    settings = Settings.from_environment(setting)
    with pytest.raises((InvalidFieldsError, ForbiddenAddressError), match=reason) as caught:
        check(SubmissionForm(destination_url=destination), api_config(settings), Buckets(settings.buckets))
    assert [*caught.value.fields] == ["destination_url"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"destination_url": "s3://songs/out"}, "s3://songs/out"),
        (
            {"destination_url": "https://a.example/v?s=1", "only": ["vocals"]},
            {"vocals": "https://a.example/v?s=1"},
        ),
        ({"destination_url": {"bass": "https://a.example/b"}}, {"bass": "https://a.example/b"}),
        ({"destination_url": "https://a.example/v?s=1"}, "One address takes one file"),
        ({"destination_url": {"banjo": "https://a.example/b"}}, "no banjo"),
        ({"destination_url": {"bass": "https://a.example/b"}, "only": ["vocals"]}, "no bass"),
        ({"destination_url": {}}, "at least 1"),
        ({"destination_url": 5}, "destination_url"),
    ],
)
def test_a_destination_has_an_address_for_each_file_or_is_a_folder(
    values: dict[str, Any], expected: str | dict[str, str]
) -> None:
    body = json.dumps({"source_url": URL, "stems": 4} | values).encode()
    if isinstance(expected, str) and not expected.startswith("s3://"):
        with pytest.raises(InvalidFieldsError, match=expected) as caught:
            from_json(body).job_options(MODEL)
        assert [*caught.value.fields] == ["destination_url"]
    else:
        assert from_json(body).job_options(MODEL).destination_url == expected


def check(form: SubmissionForm, config: ApiConfig = CONFIG, buckets: Buckets | None = None) -> None:
    form.check(config, UrlPolicy(), buckets or Buckets(), "ann")
