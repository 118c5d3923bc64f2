"""Downloaded files have safe, telling names."""

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.separation.file_names import attachment, safe_name, stem_file, stem_name, title

FORBIDDEN = set('<>:"/\\|?*%')


@pytest.mark.parametrize(
    ("sent", "called"),
    [
        ("song.mp3", "song"),
        ("/home/ann/My Song.flac", "My Song"),
        (r"C:\Music\Été.wav", "Été"),
        ("../../etc/passwd", "passwd"),
        ("Mr. Smith", "Mr. Smith"),
        ("live.2024-05.wav", "live.2024-05"),
        (".mp3", "mp3"),
        ("..", "song"),
        ("", "song"),
        ("a\r\nSet-Cookie: b.wav", "aSet-Cookie_ b"),
        ("song\u202e3pm.wav", "song3pm"),
        ("日本語.ogg", "日本語"),
        ("...mp3", "song"),
        (". . .mp3", "song"),
        ("con.mp3", "_con"),
        ("Lpt1 .flac.wav", "_Lpt1 .flac"),
        ("Console.mp3", "Console"),
    ],
)
def test_a_title_is_derived_from_the_client_s_file_name(sent: str, called: str) -> None:
    assert title(sent) == called


def test_a_stem_s_file_is_named_after_song_and_stem() -> None:
    assert stem_name("a/song.mp3", "vocals", "separations/1/stems/vocals.wav") == "song - vocals.wav"
    assert stem_file("vo/cals", "separations/1.5/stems/vocals") == "vo_cals"


@given(st.text())
def test_any_name_becomes_valid_on_every_file_system(name: str) -> None:
    safe = safe_name(name)
    assert safe.strip(". ") == safe != ""
    assert not FORBIDDEN & set(safe)
    assert not any(unicodedata.category(character).startswith("C") for character in safe)
    assert len(safe.encode()) <= 121


@given(st.text(), st.sampled_from(["vocals", "other"]))
def test_a_disposition_contains_the_name_in_two_forms_and_nothing_else(sent: str, stem: str) -> None:
    name = stem_name(sent, stem, "a/b.wav")
    header = attachment(name)
    match = re.fullmatch(r"attachment; filename=\"([ -~]+)\"; filename\*=UTF-8''([ -~]+)", header)
    assert match
    assert not set('"\\%') & set(match[1])
    assert re.fullmatch(r"(?:[A-Za-z0-9!#$&+\-.^_`|~]|%[0-9A-F]{2})+", match[2])
    assert unquote(match[2], errors="strict") == name
