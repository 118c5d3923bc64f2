"""What the Makefile and the documents show works: commands, calls and their answers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from jsonschema import Draft202012Validator

from spleeter_microservice.cli.main import make_parser
from spleeter_microservice.settings import Settings
from tests.support.audio_files import encode_kind, noise
from tests.support.documents import ROOT, Block, blocks
from tests.support.http_servers import Server, content, serving, status
from tests.support.service import Service
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET

pytestmark = pytest.mark.slow

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE)

COLLECT = "--collect-only -q -n0 --ignore-glob=**/test_[!sw]*.py --ignore-glob=**/test_s[!c]*.py"

QUICK = {
    "help": "",
    "demo": "",
    "page": "",
    "wheel": "",
    "test": "PYTEST_ARGS='-n0 tests/unit/test_workflows.py'",
    "coverage": "PYTEST_ARGS=--version",
    "docs": "",
    "bench": "BENCH_ARGS=--quick",
    "bench-service": "BENCH_ARGS=--quick",
    "bench-crash": "BENCH_ARGS=--quick",
    "bench-damage": "BENCH_ARGS=--quick",
    "bench-siege": "BENCH_ARGS=--quick",
    "fuzz": "SECONDS=0 FUZZ_ARGS='ranges protobuf'",
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
    "make": "the tests of the Makefile run it",
    "docker": "needs Docker; `make image` builds and tries the image",
    "SPLEETER_API_KEY=$(openssl rand -hex 32) docker": "needs Docker",
    "kubectl apply": "needs a cluster; tests/integration/deploy renders and validates what it applies",
    "kubectl create token": "needs a cluster",
    "pip": "needs the package index",
    ".venv/bin/pip": "needs the package index",
    ".venv/bin/pre-commit": "needs the package index",
    "git show": "needs the history of the repository",
    "python -m research.lite": "takes hours, and needs PyTorch and the synthesisers",
    "python -m pytest": "`make test-research` runs it",
    "gunicorn": "tests/acceptance/test_gunicorn.py runs it",
    'curl -sS "$ISSUER': "tests/acceptance/test_identity_provider.py runs it with a real provider",
    "printf %s": "tests/acceptance/test_identity_provider.py runs it with a real token",
    "export KEY=": "stands for a key of your own",
    "spleeter-microservice train": "needs PyTorch; tests/acceptance/test_train_command.py runs it",
    "spleeter-microservice separate -p my_model/": "tests/acceptance/test_train_command.py runs it",
    "spleeter-microservice evaluate": "needs songs with known stems; tests/integration/cli runs it",
}
"""Beginnings of commands that are only parsed, and why."""

SHELL = r"""
curl() {
    local arguments=("${@/#http:\/\/127.0.0.1:8000/$SERVICE}")
    arguments=("${arguments[@]/#http:\/\/metadata/$PROVIDER/metadata}")
    command curl --fail --silent --show-error "${arguments[@]/#https:\/\//$PROVIDER/}"
}
kubectl() { command kubectl "$@" --dry-run=client; }
"""
"""Sends what is for the service, or for another host, to servers of this test, and changes no cluster."""


def commands(block: Block) -> Iterator[str]:
    """Yield the commands of a block: its lines, or several lines up to the end of a quotation."""
    command = ""
    for line in block.text.replace("\\\n", " ").splitlines():
        command += line
        try:
            shlex.split(command, comments=True)
        except ValueError:
            command += "\n"
        else:
            yield command.partition("  #")[0].strip()
            command = ""


def excuse(command: str) -> str | None:
    return next((start for start in NOT_RUN if command.startswith(start)), None)


def script(block: Block) -> str:
    """Return the commands of a block that are run."""
    return "\n".join(command for command in commands(block) if not excuse(command))


def calls(block: Block, *documents: str) -> bool:
    """Return whether a block of one of these documents has a call that is run here."""
    return block.document in documents and "curl" in script(block)


SHELL_BLOCKS = [
    block for block in blocks(language="sh") if block.document != "README.fr.md"
]  # has README.md's
OF_THE_API = [block for block in SHELL_BLOCKS if calls(block, "docs/api.md", "README.md")]
PROVIDERS = sorted({block.section for block in SHELL_BLOCKS if calls(block, "docs/identity.md")})
OTHERS = [block for block in SHELL_BLOCKS if script(block) and "curl" not in script(block)]


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
    (folder / "page" / "node_modules").symlink_to(ROOT / "page" / "node_modules")
    return folder


@pytest.fixture(scope="module")
def environ(model_settings: Settings) -> dict[str, str]:
    foreign = ("PYTEST_", "SPLEETER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "SPLEETER_MODELS_DIR": str(model_settings.models_dir.absolute())}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with songs that have the names of the documents, and a link to the environment."""
    folder = tmp_path_factory.mktemp("songs")
    encode_kind(folder / "song.wav", noise(44100), "s16.wav")
    encode_kind(folder / "song.mp3", noise(44100), "mp3")
    (folder / "music").mkdir()
    shutil.copy(folder / "song.mp3", folder / "music")
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def inside(songs: Path) -> Iterator[tuple[Server, Server]]:
    """Servers that the service may call: one has a song, one receives webhooks."""
    with serving(content((songs / "song.mp3").read_bytes())) as source, serving(status(204)) as receiver:
        yield source, receiver


@pytest.fixture(scope="module")
def service(
    copy: Path,
    environ: dict[str, str],
    inside: tuple[Server, Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """The service that ``make serve`` starts, with a key of its own."""
    folder = tmp_path_factory.mktemp("data")
    service = Service(folder, Path(environ["SPLEETER_MODELS_DIR"]))
    settings = {
        "SPLEETER_DATA_DIR": str(folder),
        "SPLEETER_PORT": str(service.port),
        "SPLEETER_SOURCE_URLS": "on",
        "SPLEETER_INNER_TARGETS": ",".join(f"127.0.0.1:{server.server_port}" for server in inside),
        "SPLEETER_WEBHOOK_SECRET": SECRET,
    }
    with service.log.open("ab") as log:
        process = service.process = subprocess.Popen(
            make("serve"), cwd=copy, env=environ | settings, stdout=log, stderr=log, start_new_session=True
        )
    try:
        service.wait_until_ready()
        service.client.headers["X-API-KEY"] = (folder / "development-key").read_text().strip()
        yield service
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        service.client.close()


@pytest.fixture(scope="module")
def shown(
    service: Service, inside: tuple[Server, Server], songs: Path, environ: dict[str, str]
) -> dict[str, str]:
    """What the commands that call the API printed, by command; the separations are erased last."""
    (songs / "data").symlink_to(service.folder)
    variables = environ | {
        "SERVICE": service.url,
        "SPLEETER": "http://127.0.0.1:8000",
        "KEY": service.client.headers["X-API-KEY"],
    }
    printed: dict[str, str] = {}
    for block in sorted(OF_THE_API, key=lambda block: "DELETE" in block.text):
        text = script(block).replace("https://example.com", inside[0].url)
        printed[block.text] = run_shell(text, songs, variables)
        if block.document == "docs/api.md" and "ID" not in variables:
            variables["ID"] = json.loads(printed[block.text])["id"]
            assert service.wait_for(variables["ID"])["state"] == "succeeded"
    return printed


def make(target: str, arguments: str = "") -> list[str]:
    """Return a command that makes a target but installs nothing."""
    environments = (
        ".venv/installed",
        ".venv/installed-dev",
        ".venv/installed-train",
        ".venv/azurite/installed",
        ".venv/openid/installed",
        ".venv/tus/installed",
    )
    installed = {"components", *environments} - {target}
    return ["make", *(f"--assume-old={name}" for name in sorted(installed)), target, *shlex.split(arguments)]


def run(command: list[str], folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def run_shell(text: str, folder: Path, environ: dict[str, str]) -> str:
    return run(["bash", "-euc", SHELL + text], folder, {"SERVICE": "", "PROVIDER": ""} | environ)


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


def test_every_command_is_valid_and_every_excuse_is_needed() -> None:
    excused = set()
    for command in (command for block in SHELL_BLOCKS for command in commands(block)):
        excused.add(excuse(command))
        words = shlex.split(command.partition("…")[0] or "true", comments=True)
        if words[:1] == ["make"]:
            assert words[1] in TARGETS
        if words and words[0].endswith("spleeter-microservice"):
            assert make_parser().parse_args(words[1:])
        for path in re.findall(r"deploy/[\w/.-]+", command):
            assert (ROOT / path).exists()
    assert excused - {None} == NOT_RUN.keys()
    assert parses("\n".join(block.text for block in SHELL_BLOCKS))
    for name in re.findall(r"tests/[\w/.]+\w", " ".join(NOT_RUN.values())):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: f"{block.document} {block.section}")
def test_a_block_of_commands_works(block: Block, songs: Path, environ: dict[str, str]) -> None:
    run_shell(script(block), songs, environ)


@pytest.mark.parametrize("section", PROVIDERS)
def test_a_provider_is_asked_for_a_token_in_the_way_that_it_expects(
    section: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """A stand-in receives the request, since the providers are for those who have accounts there."""
    own = [script(block) for block in blocks("docs/identity.md", "sh") if block.section == section]
    variables = environ | {
        "CLIENT": "mixer",
        "SECRET": "of the mixer",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://actions.example.com/token?api-version=2",
    }
    with serving(content(b'{"access_token": "a.b.c"}')) as provider:
        printed = run_shell("\n".join(own) + "\nenv", tmp_path, variables | {"PROVIDER": provider.url})
    assert printed.startswith('{"access_token": "a.b.c"}')
    settings = dict(re.findall(r"^(SPLEETER_JWT_\w+)=(.*)$", printed, re.MULTILINE))
    assert Settings.from_environment(settings).jwt_audience
    ((path, headers),) = provider.requests
    if not provider.bodies:  # the machine or the job is known by the place that it asks from
        assert parse_qs(urlsplit(path).query)["audience"] == [settings["SPLEETER_JWT_AUDIENCE"]]
        assert headers.get("Metadata-Flavor") == "Google" or headers["Authorization"] == "bearer of the job"
        return
    form = {name: values[0] for name, values in parse_qs(provider.bodies[0].decode()).items()}
    assert form["grant_type"] == "client_credentials"
    basic = b64decode(headers.get("Authorization", "").removeprefix("Basic ")).decode()
    assert "of the mixer" in (form.get("client_secret"), basic.partition(":")[2])


def test_the_python_examples_work(
    songs: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(songs)
    monkeypatch.setenv("SPLEETER_MODELS_DIR", environ["SPLEETER_MODELS_DIR"])
    for block in (*blocks("README.md", "python"), *blocks("docs/library.md", "python")):
        names: dict[str, Any] = {"waveform": noise(44100)}
        exec(block.text, names)
        assert {name: stem.shape for name, stem in names["stems"].items()} == dict.fromkeys(
            ("vocals", "accompaniment"), (44100, 2)
        )


def test_the_modules_for_programs_of_official_spleeter_have_what_the_page_says() -> None:
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(compat[\w.]*)` \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for module, contents in rows:
        found = import_module(f"spleeter_microservice.{module}")
        assert all(hasattr(found, name) for name in re.findall(r"`(\w*[A-Z]\w*|get_\w+)`", contents)), module


def test_the_examples_of_the_api_work(shown: dict[str, str], songs: Path) -> None:
    assert len(shown) == len(OF_THE_API)
    assert zipfile.ZipFile(songs / "stems.zip").testzip() is None
    assert (songs / "vocals.wav").read_bytes().startswith(b"RIFF")
    (fetched,) = (printed for block, printed in shown.items() if "source_url" in block)
    assert json.loads(fetched)["input"]["name"] == "song.mp3"


def shown_by(shown: dict[str, str], command: str) -> str:
    (printed,) = (printed for block, printed in shown.items() if command in block)
    return printed


def test_the_answers_that_the_documents_show_are_those_of_the_service(
    service: Service, shown: dict[str, str], inside: tuple[Server, Server], songs: Path
) -> None:
    separation, notification, problem = (json.loads(block.text) for block in blocks("docs/api.md", "json"))
    (events,), (rates,) = blocks("docs/api.md", "text"), blocks("docs/api.md", "http")
    (verify,) = blocks("docs/security.md", "python")

    sent = json.loads(shown_by(shown, 'curl -sS "$SPLEETER/v1/separations/$ID"'))
    assert_shape(separation, sent)
    schemas = service.client.get("/openapi.json").json()["components"]
    schema = {"$ref": "#/components/schemas/Separation", "components": schemas}
    Draft202012Validator(schema).validate(sent | separation)

    without_previews = re.sub(', "preview": {.*?}', "", shown_by(shown, "/events"))
    assert re.sub("id: [0-9]+", "id: N", events.text) in re.sub("id: [0-9]+", "id: N", without_previews)

    with (songs / "song.mp3").open("rb") as song:
        wrong = service.client.post("/v1/separations", files={"file": song}, data={"stems": "3"})
    assert wrong.json() | {"request_id": "r-1"} == problem
    for line in rates.text.splitlines():
        name, _, value = line.partition(": ")
        assert re.sub("[rt]=[0-9]+", "", wrong.headers[name]) == re.sub("[rt]=[0-9]+", "", value)

    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| in the data folder \|.*\n((?:\|.*\n)+)", operations)
    documented = {name for row in table.splitlines() for name in re.findall("`(.*?)`", row.split("|")[1])}
    assert {path.name for path in service.folder.iterdir()} - {"log"} <= documented

    receiver = inside[1]
    service.submit(songs / "song.mp3", callback_url=f"{receiver.url}/", metadata='{"order": "4711"}')
    wait_until(lambda: receiver.requests)
    names: dict[str, Any] = {"secret": SECRET, "body": receiver.bodies[0], "headers": receiver.requests[0][1]}
    exec(verify.text, names)
    assert_shape(notification, names["event"])
    assert notification["data"].keys() == names["event"]["data"].keys()


def assert_shape(example: Any, sent: Any) -> None:
    """Check that an example has only fields that were sent, with values of the same types."""
    if isinstance(example, dict):
        assert example.keys() <= sent.keys()
        for name, value in example.items():
            assert_shape(value, sent[name])
    elif isinstance(example, list):
        for value in example[:1] if sent else ():
            assert_shape(value, sent[0])
    elif sent is not None:
        assert type(example) is type(sent), (example, sent)
