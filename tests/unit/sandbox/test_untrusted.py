"""Nothing but numbers, counts and texts comes out of a message of a confined process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from spleeter_microservice.sandbox.framing import ProtocolError
from spleeter_microservice.sandbox.untrusted import read


@dataclass(frozen=True)
class Facts:
    name: str
    samples: int
    level: float | None
    path: str = "unread"


def test_a_message_is_read_and_what_is_known_is_not_taken_from_it() -> None:
    sent = {"name": "x" * 501, "samples": 3, "level": 2, "path": "/etc/passwd", "more": []}
    assert read(Facts, sent, path="song") == Facts("x" * 500, 3, 2.0, "song")
    assert read(Facts, sent | {"level": None}, path="song").level is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", (None, 1, ["x"])),
        ("samples", (None, True, -1, 1 << 53, 1.0, "1")),
        ("level", (True, "1", 10**400, float("nan"), float("-inf"), {})),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, values: tuple[object, ...]) -> None:
    for value in values:
        with pytest.raises(ProtocolError):
            read(Facts, {"name": "x", "samples": 3, "level": 2, "path": "x"} | {name: value})


@pytest.mark.parametrize("values", [None, [], "name", {"name": "x", "samples": 3, "level": 2}])
def test_a_message_without_a_value_is_refused(values: object) -> None:
    with pytest.raises(ProtocolError):
        read(Facts, values)
