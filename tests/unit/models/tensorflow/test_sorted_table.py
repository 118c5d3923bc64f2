"""Tables of LevelDB are read completely, or refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.models.tensorflow.protobuf import read_fields, read_varint
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c, read_table
from tests.support.tensorflow_files import MAGIC, block, sealed, table, varint


def test_a_checksum_is_masked_as_leveldb_masks_it() -> None:
    # CRC-32C of "123456789" is 0xE3069283 (RFC 3720); the mask rotates it by 15 and adds a constant.
    assert masked_crc32c(b"123456789") == (0x2507C60D + 0xA282EAD8) & 0xFFFFFFFF


@given(st.integers(0, 2**64 - 1))
def test_numbers_of_up_to_64_bits_are_read(value: int) -> None:
    assert read_varint(b"?" + varint(value) + b"?", 1) == (value, 1 + len(varint(value)))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 11, b"\xff" * 9 + b"\x02"])
def test_numbers_that_do_not_end_or_exceed_64_bits_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no number"):
        read_varint(data, 0)


@pytest.mark.parametrize("message", [b"\x0b", b"\x12\x05abc", b"\x35\x01", b"\x08", b"\x0f\x01"])
def test_messages_that_are_cut_off_or_of_unknown_kind_are_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"field|no number"):
        list(read_fields(message))


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=40), min_size=1), st.integers(1, 4))
def test_every_entry_of_every_block_is_read(entries: dict[str, bytes], blocks: int) -> None:
    pairs = sorted((key.encode(), value) for key, value in entries.items())
    parts = [pairs[k * len(pairs) // blocks : (k + 1) * len(pairs) // blocks] for k in range(blocks)]
    assert read_table(table(*map(block, parts))) == entries


def shared_keys(*entries: tuple[int, bytes]) -> bytes:
    body = b"".join(varint(shared) + varint(len(rest)) + b"\0" + rest for shared, rest in entries)
    return table(sealed(body + struct.pack("<II", 0, 1)))


def test_a_key_may_repeat_the_start_of_the_key_before() -> None:
    assert list(read_table(shared_keys((0, b"beta"), (3, b"z"), (4, b"/x")))) == ["beta", "betz", "betz/x"]


HOSTILE = {
    "does not end": b"not a table at all, but long enough to have a footer",
    "beyond the end of the file": bytes(100) + (b"\0\0" + varint(2**40) + varint(9)).ljust(40, b"\0") + MAGIC,
    "does not match its checksum": table(block([(b"a", b"1")])[:-1] + b"\0"),
    r"compressed \(Snappy\)": table(block([(b"a", b"1")], kind=1)),
    r"compressed \(method 7\)": table(block([(b"a", b"1")], kind=7)),
    "keys are not in order": table(block([(b"b", b""), (b"a", b"")])),
    "not in order": table(block([(b"a", b"")]), block([(b"a", b"")])),
    "does not fit its block": shared_keys((1, b"a")),
    "an entry does not fit": shared_keys((0, b"a" * 1000), (1000, b"b" * 1000)),
    "shorter than its list": table(sealed(struct.pack("<I", 2**31))),
    "more than 20000 entries": table(block((b"%05d" % k, b"") for k in range(20_001))),
    "invalid start byte": table(block([(b"\xff", b"")])),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_broken_or_hostile_table_is_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_table(HOSTILE[reason])


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_any_bytes_are_a_table_or_a_value_error(content: bytes, footer: bytes) -> None:
    for data in (content, content + footer.ljust(40, b"\0") + MAGIC, table(sealed(content))):
        try:
            read_table(data)
        except ValueError:
            continue
