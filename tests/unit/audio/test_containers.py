"""Names and contents of files lead to the same endings."""

from spleeter_microservice.audio.containers import ending_of, endings_of_format


def test_a_name_ends_in_letters_and_digits() -> None:
    endings = {
        name: ending_of(name)
        for name in ("a.MP3", "a.b.3gp", ".wav", "blob", "a.", "take 2.5", "Mr. Smith", "")
    }
    assert endings == {"a.MP3": "mp3", "a.b.3gp": "3gp", ".wav": "wav"} | dict.fromkeys(list(endings)[3:], "")


def test_every_format_has_its_endings() -> None:
    assert "qta" in endings_of_format("mov,mp4,m4a,3gp,3g2,mj2")
    assert endings_of_format("flac") == {"flac"}
