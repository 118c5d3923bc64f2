"""Jobs as pure data."""

import itertools
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.jobs import job
from spleeter_microservice.jobs.job import JobOptions, Result, State, StoredStem, known_needs, new_job_id
from spleeter_microservice.jobs.queue import COST_UNIT, entry_priority, virtual_cost
from spleeter_microservice.separation.options import SeparationOptions

TEXT = st.text(max_size=8)
OPTIONS = st.builds(
    JobOptions,
    stems=st.sampled_from([2, 4, 5]),
    bitrate=st.none() | TEXT,
    offset=st.floats(0, 1e6),
    duration=st.none() | st.floats(0, 1e6),
    mwf=st.booleans(),
    only=st.lists(TEXT, max_size=3).map(tuple),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    callback_url=st.none() | TEXT,
)


def test_job_ids_are_version_7_and_sort_by_creation_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.time_ns()
    clock = itertools.count(begin, 1000)  # a microsecond apart
    monkeypatch.setattr(job, "time", SimpleNamespace(time_ns=clock.__next__))
    ids = [new_job_id() for _ in range(1000)]
    assert ids == sorted(ids, key=str)
    assert all((uuid.version, uuid.variant) == (7, RFC_4122) for uuid in ids)
    assert ids[0].int >> 80 == begin // 1_000_000


def test_job_ids_made_concurrently_are_unique() -> None:
    assert len({new_job_id() for _ in range(10_000)}) == 10_000


@given(OPTIONS)
def test_options_survive_a_round_trip_through_json(options: JobOptions) -> None:
    assert JobOptions.from_json(options.to_json()) == options


def test_unknown_fields_of_options_from_another_version_are_ignored() -> None:
    assert JobOptions.from_json({"stems": 4, "colour": "blue"}) == JobOptions(stems=4)


def test_options_that_the_first_version_wrote_are_read() -> None:
    row = {
        "stems": 4, "codec": "mp3", "bitrate": "192k", "offset": 1.5, "duration": None, "mwf": True,
        "bandwidth": "16kHz", "only": ["vocals"], "metadata": {"a": "b"}, "callback_url": None,
    }  # fmt: skip
    assert JobOptions.from_json(row).to_json().items() >= row.items()


def test_the_separator_is_given_the_options_but_not_the_model() -> None:
    options = JobOptions(stems=4, codec="flac", mwf=True, bandwidth="16kHz", only=("vocals",))
    assert options.separation == SeparationOptions(codec="flac", mwf=True, only=("vocals",))
    assert replace(options, bandwidth="full").separation.bandwidth == "full"


@pytest.mark.parametrize(
    "change",
    [
        {"stems": 4},
        {"codec": "mp3"},
        {"bitrate": "1k"},
        {"offset": 1.0},
        {"duration": 2.0},
        {"mwf": True},
        {"bandwidth": "full"},
        {"only": ("vocals",)},
        {"mixes": {"karaoke": "accompaniment"}},
        {"without": ("vocals",)},
    ],
    ids=str,
)
def test_whatever_changes_the_result_changes_the_digest(change: dict[str, Any]) -> None:
    assert replace(JobOptions(), **change).digest("result_version") != JobOptions().digest("result_version")


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        (JobOptions(), []),
        (JobOptions(stems=4, codec="mp3", bitrate="192k", offset=1, preset="dj", bandwidth="full"), []),
        (JobOptions(codec="alac", mixes={"a": "vocals"}, level="-14"), ["codec=alac", "level", "mixes"]),
        (JobOptions(quality="best", destination_url="s3://b"), ["destination_url", "quality=best"]),
        (JobOptions(video={"a": "vocals"}, container="mkv"), ["container=mkv", "video"]),
    ],
)
def test_a_job_needs_a_worker_that_knows_its_options(options: JobOptions, needs: list[str]) -> None:
    assert options.needs == needs
    assert set(needs) <= set(known_needs())


def test_the_result_version_is_part_of_the_digest() -> None:
    assert JobOptions().digest("4stems-lite 1") != JobOptions().digest("4stems")


def test_metadata_callback_and_the_order_of_stems_do_not_change_the_digest() -> None:
    one = JobOptions(only=("vocals", "bass"), metadata={"a": "b"}, callback_url="https://example.org")
    assert one.digest("") == JobOptions(only=("bass", "vocals")).digest("")


def test_a_result_survives_a_round_trip_through_json() -> None:
    result = Result(
        (StoredStem("vocals", "key", 5, "hash", "audio/wav"),), "2stems", {"a": None}, {"b": [1.5]}
    )
    assert Result.from_json(result.to_json()) == result


def test_three_states_are_final() -> None:
    assert {state for state in State if state.final} == {State.SUCCEEDED, State.FAILED, State.CANCELLED}


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_an_earlier_virtual_start_has_priority_and_fits_the_column(early: int, late: int) -> None:
    early, late = sorted((early, late))
    assert -(2**31) <= entry_priority(late) <= entry_priority(early) < 2**31


def test_a_job_costs_its_length_in_minutes_and_at_least_one() -> None:
    assert [virtual_cost(seconds) for seconds in (0, 30, COST_UNIT, COST_UNIT + 1)] == [1, 1, 1, 2]


def test_job_ids_are_plain_uuids() -> None:
    assert UUID(str(new_job_id()))
