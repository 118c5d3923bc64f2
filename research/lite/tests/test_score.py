"""Notes can be written to MIDI files and read back, and belong to the stem of their instrument."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from research.lite import patterns
from research.lite.score import TICKS_PER_SECOND, Note, by_stem, read, written

# One note per pitch: MIDI cannot distinguish overlapping notes of the same pitch.
NOTES = st.lists(
    st.builds(
        Note,
        program=st.sampled_from([-1, 0, 24, 33, 48]),
        pitch=st.integers(1, 127),
        velocity=st.integers(1, 127),
        start=st.integers(0, 20 * TICKS_PER_SECOND).map(lambda ticks: ticks / TICKS_PER_SECOND),
        length=st.integers(1, 5 * TICKS_PER_SECOND).map(lambda ticks: ticks / TICKS_PER_SECOND),
    ),
    max_size=20,
    unique_by=lambda note: (note.program, note.pitch),
)


@given(NOTES)
def test_written_notes_can_be_read_back(notes: list[Note]) -> None:
    def rounded(note: Note) -> tuple[float, ...]:
        return note.program, note.pitch, note.velocity, round(note.start, 6), round(note.length, 6)

    assert sorted(map(rounded, read(written(notes)))) == sorted(map(rounded, notes))


def test_data_that_is_not_a_midi_file_is_refused() -> None:
    with pytest.raises(ValueError, match="not a MIDI file"):
        read(b"RIFF")


@pytest.mark.parametrize(
    ("program", "stem"),
    [(-1, "drums"), (0, "piano"), (7, "piano"), (33, "bass"), (43, "bass"), (48, "other")],
)
def test_the_instrument_determines_the_stem(program: int, stem: str) -> None:
    assert Note(program, 60, 100, 0.0, 1.0).stem == stem


@pytest.mark.parametrize("held_out", [False, True])
def test_a_piece_by_rule_is_playable_and_reproducible(held_out: bool) -> None:
    for seed in range(20):
        notes = patterns.compose(random.Random(seed), 20.0, held_out)
        assert notes == patterns.compose(random.Random(seed), 20.0, held_out)
        assert {"drums", "bass", "other", "piano"} >= by_stem(notes).keys()
        for note in notes:
            assert 0 <= note.pitch < 128
            assert 0 < note.velocity < 128
            assert note.start >= 0
            assert note.length > 0
