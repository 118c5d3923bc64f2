"""Names mean the models that official Spleeter means by them."""

import pytest

from spleeter_microservice.errors import UnknownModelError
from spleeter_microservice.models.catalogue import CATALOGUE, Bandwidth
from spleeter_microservice.models.installer import architecture_of


@pytest.mark.parametrize(
    ("descriptor", "name", "bandwidth"),
    [
        ("2stems", "2stems", "official"),
        ("spleeter:2stems", "2stems", "official"),
        ("2stems-16kHz", "2stems", "16kHz"),
        ("spleeter:5stems-16kHz", "5stems", "16kHz"),
        ("4stems-lite", "4stems-lite", "official"),
    ],
)
def test_a_descriptor_names_weights_and_a_bandwidth(descriptor: str, name: str, bandwidth: Bandwidth) -> None:
    selection = CATALOGUE.resolve(descriptor)
    assert (selection.entry.name, selection.bandwidth) == (name, bandwidth)
    assert selection.name == descriptor.removeprefix("spleeter:")
    assert selection.changes == ({"bins": 1536} if bandwidth == "16kHz" else {})


@pytest.mark.parametrize(
    "descriptor",
    [
        "",
        "3stems",
        "2stems-32kHz",
        "2stems-16kHz-16kHz",
        "other:2stems",
        "../2stems",
        "-16kHz",
        "spleeter:4stems-lite",
        "4stems-lite-16kHz",
    ],
)
def test_an_unknown_name_is_refused_with_a_list_of_the_known_ones(descriptor: str) -> None:
    with pytest.raises(UnknownModelError, match=r"one of 2stems, 2stems-16kHz, .*5stems-lite;.*\.json"):
        CATALOGUE.resolve(descriptor)


def test_stems_are_in_the_order_of_official_spleeter() -> None:
    assert [architecture_of(entry).stems for entry in CATALOGUE][:3] == [
        ("vocals", "accompaniment"),
        ("vocals", "drums", "bass", "other"),
        ("vocals", "piano", "drums", "bass", "other"),
    ]


def test_deezers_models_come_first_for_a_number_of_stems() -> None:
    assert {count: entry.name for count, entry in CATALOGUE.by_stem_count().items()} == {
        2: "2stems",
        4: "4stems",
        5: "5stems",
    }


def test_a_built_in_model_requires_its_base() -> None:
    names = ("2stems", "4stems-16kHz", "4stems-lite")
    assert [CATALOGUE.requirement(name).name for name in names] == ["2stems", "4stems", "2stems"]


def test_a_built_in_model_replaces_one_of_deezers() -> None:
    replacement = CATALOGUE.replacement("4stems")
    assert replacement is not None
    assert replacement.name == "4stems-lite"
    assert CATALOGUE.replacement("2stems") is None
