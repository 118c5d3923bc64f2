"""Creation of PostgreSQL's data: by initdb, or from an archive that the image brings.

initdb asks for the name of the user that runs it, which some containers lack. So the build of the image runs
``python -m spleeter_microservice.database.cluster``, which keeps new data in ``ARCHIVE``.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from pathlib import Path

from spleeter_microservice.database.postgres_binaries import VERSION, Programs
from spleeter_microservice.errors import DatabaseStartError

USER = "spleeter"
ARCHIVE = Path(sys.prefix) / f"postgresql-{VERSION}.tar.gz"


def create_cluster(programs: Programs, folder: Path) -> None:
    """Create PostgreSQL's data in a new directory.

    Raises:
        DatabaseStartError: if that is impossible; the message says why.
    """
    programs.create_folder(folder)
    if ARCHIVE.exists() and programs.account is None:
        with tarfile.open(ARCHIVE) as archive:
            # Python 3.11.3 and earlier have no filters, and need none.
            filtered = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
            archive.extractall(folder, **filtered)  # type: ignore[arg-type]  # noqa: S202
        os.sync()  # as initdb does
        return
    options = ["--encoding", "UTF8", "--no-locale", "--auth-local", "trust", "--auth-host", "reject"]
    made = programs.run("initdb", "--pgdata", str(folder), "--username", USER, *options, named=True)
    if made.returncode:
        raise DatabaseStartError(
            f"PostgreSQL cannot create its data in {folder.parent.parent}. {made.stderr.strip()[-2000:]}"
        )


def main() -> None:
    """Keep new data in ``ARCHIVE``."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # for PostgreSQL's user
        folder = Path(place) / "cluster"
        create_cluster(Programs(Path(place)), folder)
        with tarfile.open(ARCHIVE, "w:gz", compresslevel=6) as archive:
            archive.add(folder, ".")


if __name__ == "__main__":
    main()
