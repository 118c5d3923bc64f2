"""The files of metrics are those of prometheus_client, and may be unwritable for a while."""

from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

from spleeter_microservice.observability.metric_file import MetricFile


def opened(path: Path) -> Any:
    """Return a file; its class inherits methods without types."""
    return MetricFile(str(path))


def read(path: Path) -> dict[str, tuple[float, float]]:
    found = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    return {key: (value, time) for key, value, time, _ in found}


def test_the_values_can_be_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    file = opened(path)
    expected = {}
    for number in range(500):  # of all lengths
        key = "é" + "k" * number
        assert file.read_value(key) == (0.0, 0.0)
        file.write_value(key, number / 3, 1.0)
        expected[key] = (number / 3, 1.0)
    assert read(path) == expected
    file.write_value("ék", 7.0, 2.0)
    file.close()
    again = opened(path)  # of another process with this id
    assert again.read_value("ék") == (7.0, 2.0)
    again.write_value("ék", 8.0, 3.0)
    again.close()
    assert read(path) == expected | {"ék": (8.0, 3.0)}


def test_what_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "counter_1.db"
    file = opened(path)
    file.write_value("a", 1.0, 0.0)
    path.parent.mkdir()
    file.write_value("b", 2.0, 0.0)
    file.close()
    assert read(path) == {"a": (1.0, 0.0), "b": (2.0, 0.0)}
    assert list(path.parent.iterdir()) == [path]
