"""Every command that the Makefile or a document shows works."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from spleeter_microservice.cli.main import make_parser
from spleeter_microservice.settings import Settings
from tests.support.audio_files import encode_kind, noise
from tests.support.service import KEY, Service

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE)
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def shell_blocks(document: Path) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def commands(block: str) -> list[str]:
    """Return the commands of a block: its lines, or several lines up to the end of a quotation."""
    found = [""]
    for line in block.replace("\\\n", " ").splitlines():
        found[-1] += line
        try:
            shlex.split(found[-1], comments=True)
        except ValueError:
            found[-1] += "\n"
        else:
            found.append("")
    return found[:-1]


COMMANDS = sorted(
    {
        (path.name, command.partition("  #")[0].strip())
        for path in DOCUMENTS
        for block in shell_blocks(path)
        for command in commands(block)
    }
)

COLLECT = "--collect-only -q -n0 --ignore-glob=**/test_[!mw]*.py"

QUICK = {
    "help": "",
    "demo": "",
    "test": "PYTEST_ARGS='-n0 tests/unit/test_workflows.py'",
    "coverage": f"PYTEST_ARGS='{COLLECT} --no-cov'",
    "docs": "",
    "bench": "BENCH_ARGS=--quick",
    "bench-service": "BENCH_ARGS=--quick",
    "bench-crash": "BENCH_ARGS=--quick",
    "format": "",
    "clean": "VENV=unused",
} | {target: f"PYTEST_ARGS='{COLLECT}'" for target in TARGETS if target.startswith("test-")}
"""Targets, with arguments that make them quick."""

ELSEWHERE = {
    "serve": "the examples of the API use it, below",
    "check": "CI runs it just before the tests",
    "components": "needs root and apt-get",
    "image": "needs root, buildah and podman",
    "lock": "resolves all requirements on the package index",
}
"""Targets whose recipes are only parsed, and why."""

NOT_RUN = {
    "printf %s": "needs a token; test_identity_provider.py checks one",
    "docker": "needs Docker",
    "SPLEETER_API_KEY=$(openssl rand -hex 32) docker": "needs Docker",
    "kubectl": "needs a cluster",
    "pip": "needs the package index",
    ".venv/bin/pip": "needs the package index",
    ".venv/bin/pre-commit": "needs the package index",
    "gunicorn": "test_gunicorn.py runs it",
    "export": "sets what the other examples use",
    "make": "the tests of the Makefile run it",
    "git show": "needs the history of the repository",
    "python -m research.lite": "takes hours, and needs PyTorch and the synthesisers",
    "spleeter-microservice evaluate": "needs songs with known stems; tests/integration/cli runs it",
    "spleeter-microservice train": "needs PyTorch; test_train_command.py runs it",
    "spleeter-microservice separate -p my_model/config.json": "needs the model that `train` makes",
}
"""Beginnings of commands that are only parsed, and why."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, with the environment of this Python as ``.venv``."""
    folder = tmp_path_factory.mktemp("copy")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def environ(model_settings: Settings) -> dict[str, str]:
    foreign = ("PYTEST_", "SPLEETER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "SPLEETER_MODELS_DIR": str(model_settings.models_dir.absolute())}


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """A folder with songs that have the names of the documents, and a link to the environment."""
    encode_kind(tmp_path / "song.wav", noise(44100), "s16.wav")
    encode_kind(tmp_path / "song.mp3", noise(44100), "mp3")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture(scope="module")
def service(
    copy: Path, environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service that ``make serve`` starts."""
    folder = tmp_path_factory.mktemp("data")
    service = Service(folder, Path(environ["SPLEETER_MODELS_DIR"]))
    settings = {"SPLEETER_API_KEY": KEY, "SPLEETER_DATA_DIR": str(folder), "SPLEETER_PORT": str(service.port)}
    with service.log.open("ab") as log:
        process = service.process = subprocess.Popen(
            make("serve"), cwd=copy, env=environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    try:
        service.wait_until_ready()
        yield service
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
        service.client.close()


def make(target: str, arguments: str = "") -> list[str]:
    """Return a command that makes a target but installs nothing."""
    environments = (
        ".venv/installed",
        ".venv/installed-dev",
        ".venv/installed-train",
        ".venv/openid/installed",
    )
    installed = {"components", *environments} - {target}
    return ["make", *(f"--assume-old={name}" for name in sorted(installed)), target, *shlex.split(arguments)]


def run(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def reason(command: str) -> str | None:
    return next((why for start, why in NOT_RUN.items() if command.startswith(f"{start} ")), None)


def parses(command: str) -> bool:
    return subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0


def test_every_target_is_tested() -> None:
    assert set(TARGETS) == QUICK.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("target", QUICK)
def test_a_target_works(target: str, copy: Path, environ: dict[str, str]) -> None:
    run(make(target, QUICK[target]), copy, environ)


@pytest.mark.parametrize("target", ELSEWHERE)
def test_the_recipe_of_a_target_names_programs_that_exist(
    target: str, copy: Path, environ: dict[str, str]
) -> None:
    recipe = run(make(target, "--dry-run"), copy, environ)
    assert parses(recipe)
    for program in re.findall(r"(?<!\S)(?:\.venv/bin|scripts)/[\w.-]+", recipe):
        assert (copy / program).exists(), program


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_commands_is_marked_as_such(document: Path) -> None:
    fences = re.findall(
        r"^```(\w*)\n(.*?)^```$", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    for language, block in fences:
        if re.match(r"(\.venv/|make |pip |curl |docker |kubectl |gunicorn |spleeter-microservice )", block):
            assert language == "sh", block


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_a_documented_command_is_valid(document: str, command: str) -> None:
    assert parses(command)
    words = shlex.split(command.partition("…")[0] or "true", comments=True)
    if words and words[0] == "make":
        assert set(words[1:2]) <= set(TARGETS)
    if words and words[0].endswith("spleeter-microservice"):
        assert make_parser().parse_args(words[1:])
    for path in re.findall(r"deploy/[\w/.-]+", command):
        assert (ROOT / path).exists()


@pytest.mark.parametrize(
    ("document", "command"),
    [(path, command) for path, command in COMMANDS if not reason(command) and "curl " not in command],
)
def test_a_documented_command_works(
    document: str, command: str, songs: Path, environ: dict[str, str]
) -> None:
    run(["bash", "-euc", command], songs, environ)


def test_the_examples_of_the_api_work(service: Service, songs: Path, environ: dict[str, str]) -> None:
    blocks = shell_blocks(ROOT / "docs" / "api.md") + shell_blocks(ROOT / "README.md")
    blocks = [block.replace("http://127.0.0.1:8000", "$SPLEETER") for block in blocks if "curl" in block]
    first, *others = (block for block in blocks if "source_url" not in block)  # it fetches from the Internet
    variables = environ | {"SPLEETER": service.url, "KEY": KEY}
    fail = 'curl() { command curl --fail --silent --show-error "$@"; }\n'
    job = json.loads(run(["bash", "-euc", fail + first], songs, variables))
    assert service.wait_for(job["id"])["state"] == "succeeded"
    for block in sorted(others, key=lambda block: "DELETE" in block):
        run(["bash", "-euc", fail + block], songs, variables | {"ID": job["id"]})
    assert zipfile.ZipFile(songs / "stems.zip").testzip() is None
