"""Files are accepted or refused by their names only if the operator asked for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.errors import UnsupportedTypeError
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.submit.upload import check_content, checked_name

CONFIG = api_config(Settings(data_dir=Path("data")))


@pytest.mark.parametrize(
    ("allowed", "name", "accepted"),
    [
        ("", "song.exe", True),
        ("", "blob", True),
        ("wav mp3", "song.WAV", True),
        ("wav mp3", "song.mp3", True),
        ("wav mp3", "song.flac", False),
        ("wav mp3", ".wav.zip", False),
        ("wav mp3", "take 2.5", True),
        ("wav mp3", "blob", True),
        ("flac", "blob", False),
        ("flac", "", False),
    ],
)
def test_a_wav_file_is_accepted_under_a_name(allowed: str, name: str, accepted: bool) -> None:
    config = replace(CONFIG, allowed_extensions=frozenset(allowed.split()))
    try:
        check_content(checked_name(name, config), "wav", config)
    except UnsupportedTypeError:
        assert not accepted
    else:
        assert accepted
