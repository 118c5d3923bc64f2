"""Presets are what every caller could choose, and what a caller chooses wins over them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.presets import PRESETS, with_preset
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.web.submit.bodies import from_json


def sent(**values: Any) -> dict[str, Any]:
    """Return the options of the job that a request with these values makes."""
    form = from_json(json.dumps({"source_url": "https://example.com/song.mp3"} | values).encode())
    form.check(api_config(Settings()), UrlPolicy(), Buckets(), "ann")
    stems = CATALOGUE.by_stem_count()[form.stems].stems
    return form.job_options(RegisteredModel("a model", stems, True)).to_json()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_means_its_options_whoever_sends_it(name: str) -> None:
    options = PRESETS[name].options
    assert sent(preset=name) == sent(**options) | {"preset": name}
    chosen = with_preset({"preset": name})
    assert chosen.pop("stems") == options["stems"]
    SeparationOptions(**chosen).check()


def test_what_is_chosen_wins_over_the_preset_and_the_preset_over_defaults() -> None:
    assert sent(preset="karaoke")["bitrate"] == "320k"
    assert sent(preset="karaoke", bitrate="96k")["bitrate"] == "96k"
    assert sent(preset="karaoke", codec="mp3")["bitrate"] == "320k"
    assert sent(preset="karaoke", codec="opus")["bitrate"] == "128k"
    assert sent(preset="karaoke", codec="flac")["bitrate"] is None
    own = sent(preset="karaoke", mixes={"quiet": "instrumental+vocals@-18dB"})
    assert (own["mixes"], own["only"]) == ({"quiet": "instrumental+vocals@-18dB"}, [])
    best = sent(preset="remix")
    assert (best["quality"], best["mwf"], best["bandwidth"]) == ("best", True, "full")
    assert (best["bit_depth"], best["sample_rate"]) == ("24", "source")
    other = sent(preset="remix", codec="opus")
    assert (other["quality"], other["bit_depth"], other["sample_rate"]) == ("best", None, None)
    assert sent(preset="remix", bandwidth="official")["bandwidth"] == "official"
    official = sent(preset="remix", quality="official")
    assert (official["mwf"], official["bandwidth"]) == (False, "official")
    assert (sent(preset="remix")["stems"], sent(preset="remix", model="2stems-16kHz")["stems"]) == (4, 2)


@pytest.mark.parametrize("name", ["party", 1, [], {}])
def test_other_presets_are_no_presets(name: Any) -> None:
    assert with_preset({"preset": name, "codec": "wav"}) == {"preset": name, "codec": "wav"}
