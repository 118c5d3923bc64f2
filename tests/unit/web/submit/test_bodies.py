"""Submissions in JSON and in forms mean the same."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.errors import InvalidFieldsError, MalformedRequestError
from spleeter_microservice.jobs.job import JobOptions
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.web.submit.bodies import from_form, from_json
from spleeter_microservice.web.submit.options import SubmissionForm

MODEL = RegisteredModel("4stems", ("vocals", "drums", "bass", "other"), True)
URL = "https://example.com/song.mp3"


def test_a_form_and_json_mean_the_same() -> None:
    mixes = {
        "karaoke": "instrumental+vocals@-18dB", "acapella": "acapella", "instrumental": "instrumental"
    }  # fmt: skip
    form = [
        ("stems", "4"), ("codec", "mp3"), ("bitrate", "192k"), ("offset", "1.5"), ("duration", "30"),
        ("mwf", "True"), ("dither", "1"), ("tags", "off"), ("bandwidth", "16kHz"), ("only", "bass, vocals"),
        ("mixes", "karaoke=instrumental+vocals@-18dB"), ("mixes", '{"acapella": "acapella"}'),
        ("mixes", "instrumental"), ("without", "drums"), ("without", "bass"),
        ("metadata", '{"title": "Süß"}'),
        ("callback_url", "https://example.com/hook"), ("retention_hours", "2"),
        ("destination_url", "s3://songs/out"),
    ]  # fmt: skip
    values = {
        "stems": 4, "codec": "mp3", "bitrate": "192k", "offset": 1.5, "duration": 30, "mwf": True,
        "dither": True, "tags": False, "bandwidth": "16kHz", "only": ["bass", "vocals"],
        "metadata": {"title": "Süß"}, "mixes": mixes, "without": ["drums", "bass"],
        "callback_url": "https://example.com/hook", "retention_hours": 2,
        "destination_url": "s3://songs/out",
    }  # fmt: skip
    sent = from_form(form)
    assert sent.model_copy(update={"source_url": URL}) == from_json(
        json.dumps({"source_url": URL} | values).encode()
    )
    assert sent.job_options(MODEL) == JobOptions(
        stems=4, codec="mp3", bitrate="192k", offset=1.5, duration=30, bandwidth="16kHz", mwf=True,
        dither=True, tags=False, only=("vocals", "bass"), metadata={"title": "Süß"},
        callback_url="https://example.com/hook", mixes=mixes, without=("drums", "bass"),
        destination_url="s3://songs/out",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "texts", "value"),
    [
        ("mwf", ("on", "1", "true", "yes", "TRUE", "On", " y "), True),
        ("mwf", ("off", "0", "false", "no", "", "null"), False),
        ("offset", (".5", "0.5", "+.5", "5e-1", " 0.50 "), 0.5),
        ("offset", ("05", "+5", "5.", "5.0"), 5),
        ("stems", ("4", "04", "+4", "4.0", " 4\t"), 4),
        ("retention_hours", ("", "null", " "), None),
        ("codec", ("MP3", "Mp3"), "mp3"),
        ("bandwidth", ("16KHZ", "16khz", "16kHz"), "16kHz"),
        ("only", ("Vocals,BASS", "vocals, bass,"), ["vocals", "bass"]),
        ("mixes", ('{"a": "acapella"}', "a=acapella", " a = acapella"), {"a": "acapella"}),
    ],
)  # fmt: skip
def test_the_values_of_plain_html_forms_are_understood(
    field: str, texts: tuple[str, ...], value: Any
) -> None:
    for text in texts:
        assert getattr(from_form([(field, text)]), field) == value, text


def test_numbers_are_taken_for_texts() -> None:
    values = {"codec": "flac", "bit_depth": 24, "sample_rate": 48000, "track": 2, "level": -14.5}
    options = from_json(json.dumps({"source_url": URL} | values).encode()).job_options(MODEL)
    texts = {"codec": "flac", "bit_depth": "24", "sample_rate": "48000", "track": "2", "level": "-14.5"}
    assert options == from_form(list(texts.items())).job_options(MODEL)
    assert options == JobOptions(bitrate=None, stems=4, **values)  # type: ignore[arg-type]
    with pytest.raises(InvalidFieldsError, match="bit_depth"):
        from_json(json.dumps({"source_url": URL, "bit_depth": True}).encode())


def test_empty_fields_of_a_form_count_as_left_out() -> None:
    assert from_form([("bitrate", ""), ("metadata", " "), ("only", ","), ("stems", "")]) == SubmissionForm()


@pytest.mark.parametrize(
    "fields",
    [
        [("stems", "x")], [("stems", "NaN")], [("offset", "nan")], [("offset", "Infinity")],
        [("offset", "1e999")], [("duration", "1_0")], [("mwf", "maybe")], [("metadata", "{")],
        [("metadata", '"x"')],
        [("metadata", "[" * 5000)], [("stems", "9" * 5000)], [("only", "a b")],
        [("mixes", "a=vocals"), ("mixes", "a=bass")], [("mixes", "{")], [("mixes", "a b=vocals")],
        [("mixes", "{"), ("mixes", "{}")], [("video", "{"), ("video", "{}")],
        [("codec", "wav"), ("codec", "mp3")], [("source_url", URL)], [("surprise", "1")],
    ],
)  # fmt: skip
def test_a_form_s_wrong_field_is_refused_by_its_name(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        from_form(fields)
    assert {name.partition(".")[0] for name in caught.value.fields} == {fields[-1][0]}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"offset": NaN}', b"\xff", b"[" * 100_000])
def test_what_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        from_json(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_taken_or_refused_with_reasons(value: Any) -> None:
    with contextlib.suppress(InvalidFieldsError, MalformedRequestError):
        from_json(json.dumps(value).encode())


@given(st.lists(st.tuples(st.sampled_from([*SubmissionForm.model_fields, "x"]), st.text())))
def test_any_form_is_taken_or_refused_with_reasons(fields: list[tuple[str, str]]) -> None:
    with contextlib.suppress(InvalidFieldsError):
        from_form(fields)


def test_a_form_has_a_destination_as_a_text_or_as_an_object() -> None:
    assert from_form([("destination_url", "s3://songs/out")]).destination_url == "s3://songs/out"
    assert from_form([("destination_url", '{"bass": "https://a.example/b"}')]).destination_url == {
        "bass": "https://a.example/b"
    }
