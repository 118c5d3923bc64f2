"""Names mean the models that official Spleeter means by them."""

import pytest

from spleeter_microservice.errors import UnknownModelError
from spleeter_microservice.models.catalogue import OFFICIAL


@pytest.mark.parametrize(
    ("descriptor", "name", "bins"),
    [
        ("2stems", "2stems", 1024),
        ("spleeter:2stems", "2stems", 1024),
        ("2stems-16kHz", "2stems", 1536),
        ("spleeter:5stems-16kHz", "5stems", 1536),
    ],
)
def test_a_descriptor_names_weights_and_a_number_of_bins(descriptor: str, name: str, bins: int) -> None:
    choice = OFFICIAL.resolve(descriptor)
    assert (choice.entry.name, choice.bins) == (name, bins)
    assert choice.apply(choice.entry.architecture).bins == bins
    assert choice.name == descriptor.removeprefix("spleeter:")


@pytest.mark.parametrize(
    "descriptor", ["", "3stems", "2stems-32kHz", "2stems-16kHz-16kHz", "other:2stems", "../2stems", "-16kHz"]
)
def test_an_unknown_name_is_answered_with_the_known_ones(descriptor: str) -> None:
    with pytest.raises(UnknownModelError, match=r"2stems, 4stems, 5stems, 2stems-16kHz, .*\.json"):
        OFFICIAL.resolve(descriptor)


def test_the_instruments_are_in_the_order_of_official_spleeter() -> None:
    assert [entry.architecture.stems for entry in OFFICIAL] == [
        ("vocals", "accompaniment"),
        ("vocals", "drums", "bass", "other"),
        ("vocals", "piano", "drums", "bass", "other"),
    ]
