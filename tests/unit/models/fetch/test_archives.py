"""Archives unpack into their folder or not at all."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spleeter_microservice.errors import ArchiveError
from spleeter_microservice.models.fetch.archives import unpack

MEGABYTE = 1 << 20


def tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # modes of its own
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def plain_tar(path: Path, members: dict[str, bytes]) -> Path:
    return tar(path, members, "w")


Pack = Callable[[Path, dict[str, bytes]], Path]
KINDS = pytest.mark.parametrize("pack", [tar, plain_tar, zip_])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@KINDS
def test_files_are_unpacked_flat_or_one_folder_deep(tmp_path: Path, folder: Path, pack: Pack) -> None:
    members = {"model.index": b"index", "2stems/model.data": bytes(3 * MEGABYTE), "2stems/empty": b""}
    unpack(pack(tmp_path / "archive", members), folder, 4 * MEGABYTE)
    assert files(folder) == members


def test_folders_and_what_macos_adds_are_passed_over(tmp_path: Path, folder: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w:gz") as archive:
        info = tarfile.TarInfo("./")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("./model.index"))
    unpack(tmp_path / "archive", folder, MEGABYTE)
    unpack(zip_(tmp_path / "zip", {"2stems/": b"", "__MACOSX/2stems/._a": b"", "2stems/a": b"a"}), folder, 9)
    assert files(folder) == {"model.index": b"", "2stems/a": b"a"}


@KINDS
@pytest.mark.parametrize(
    "name", ["/outside", "../outside", "a/../../outside", "a/b/c", "..\\outside", "a/.."]
)
def test_a_member_outside_the_directory_is_refused_by_name(
    tmp_path: Path, folder: Path, pack: Pack, name: str
) -> None:
    with pytest.raises(ArchiveError, match=r"is refused: '.*(outside|a/b/c|\.\.)' is not in its root"):
        unpack(pack(tmp_path / "archive", {"first": b"1", name: b"2"}), folder, MEGABYTE)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused_by_name(tmp_path: Path, folder: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "archive", "w:gz") as archive:
        info = tarfile.TarInfo("trap")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ArchiveError, match="'trap' is not a regular file"):
        unpack(tmp_path / "archive", folder, MEGABYTE)
    assert files(folder) == {}


def test_a_link_in_a_zip_file_is_refused_by_name(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        info = zipfile.ZipInfo("trap")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'trap' is not a regular file"):
        unpack(tmp_path / "archive", folder, MEGABYTE)


@KINDS
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, folder: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", {"a": bytes(2 * MEGABYTE), "b": bytes(2 * MEGABYTE)})
    with pytest.raises(ArchiveError, match="more than a model"):
        unpack(archive, folder, 3 * MEGABYTE)
    assert sum(map(len, files(folder).values())) <= 3 * MEGABYTE


def test_a_header_that_unpacks_to_too_much_is_refused(tmp_path: Path, folder: Path) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    with gzip.open(tmp_path / "archive", "wb", 1) as file:
        file.write(info.tobuf() + bytes(40 * MEGABYTE))
    with pytest.raises(ArchiveError, match="more than a model"):
        unpack(tmp_path / "archive", folder, MEGABYTE)


@KINDS
def test_too_many_members_are_refused(tmp_path: Path, folder: Path, pack: Pack) -> None:
    with pytest.raises(ArchiveError, match="more than 100 files"):
        unpack(pack(tmp_path / "archive", {str(k): b"" for k in range(101)}), folder, MEGABYTE)


def test_two_members_with_the_same_name_are_refused(tmp_path: Path, folder: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w:gz") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a"))
    with pytest.raises(ArchiveError, match="it has two members 'a'"):
        unpack(tmp_path / "archive", folder, MEGABYTE)


@KINDS
def test_a_truncated_archive_is_refused(tmp_path: Path, folder: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", {"a": bytes(range(256)) * 1000})
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(ArchiveError, match="is damaged, or is not an archive"):
        unpack(archive, folder, MEGABYTE)


def test_a_missing_archive_is_an_error_of_its_own(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file"):
        unpack(tmp_path / "missing.tar.gz", folder, MEGABYTE)


@given(st.binary(max_size=600), st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04"]))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_unpack_or_are_an_archive_error(
    tmp_path: Path, folder: Path, content: bytes, start: bytes
) -> None:
    (tmp_path / "archive").write_bytes(start + content)
    try:
        unpack(tmp_path / "archive", folder, MEGABYTE)
    except ArchiveError:
        return
