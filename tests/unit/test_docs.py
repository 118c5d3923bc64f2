"""The documents agree with the program and with each other."""

import argparse
import ast
import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from spleeter_microservice.cli.main import make_parser
from spleeter_microservice.settings import Settings, variables
from spleeter_microservice.training.configuration import KNOWN_KEYS
from tests.support.documents import DOCUMENTS, ROOT, blocks
from tests.support.training_songs import write_list

PACKAGE = ROOT / "src" / "spleeter_microservice"
PARSER = make_parser()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

BLOCKS = {
    ("CONTRIBUTING.md", "python"): (5, "compared below"),
    ("README.md", "python"): (1, "run by tests/acceptance/test_documented_commands.py"),
    ("README.fr.md", "python"): (1, "compared below"),
    ("docs/api.md", "http"): (1, "compared by tests/acceptance/test_documented_commands.py"),
    ("docs/api.md", "js"): (1, "run by tests/integration/web/uploads/test_clients.py"),
    ("docs/api.md", "json"): (3, "compared by tests/acceptance/test_documented_commands.py"),
    ("docs/api.md", "text"): (1, "compared by tests/acceptance/test_documented_commands.py"),
    ("docs/architecture.md", "mermaid"): (1, "compared below"),
    ("docs/architecture.md", "text"): (3, "drawings"),
    ("docs/identity.md", "text"): (1, "compared by tests/unit/cli/test_tokens.py"),
    ("docs/library.md", "python"): (2, "run by tests/acceptance/test_documented_commands.py"),
    ("docs/operations.md", "json"): (1, "sent to an S3 server by tests/contract/storage/test_store.py"),
    ("docs/operations.md", "nginx"): (1, "needs nginx; its numbers are compared below"),
    ("docs/operations.md", "promql"): (1, "parsed by tests/integration/deploy/test_monitoring.py"),
    ("docs/operations.md", "python"): (1, "run by tests/integration/web/submit/test_scanner_plugin.py"),
    ("docs/operations.md", "sql"): (1, "run by tests/integration/database/test_runbook.py"),
    ("docs/operations.md", "text"): (1, "a formula"),
    ("docs/security.md", "conf"): (1, "compared below"),
    ("docs/security.md", "python"): (1, "run by tests/acceptance/test_documented_commands.py"),
    ("docs/security.md", "sql"): (1, "run by tests/integration/audit/test_log.py"),
    ("docs/training.md", "csv"): (1, "compared below"),
    ("docs/training.md", "text"): (1, "compared by tests/acceptance/test_train_command.py"),
}
"""How many blocks of each language a document has, and what runs or compares them, or why nothing can.

Shell commands are not listed: tests/acceptance/test_documented_commands.py runs all of them.
"""


def test_every_block_is_run_or_compared() -> None:
    found = Counter((block.document, block.language) for block in blocks() if block.language != "sh")
    assert found == {place: count for place, (count, _) in BLOCKS.items()}
    for _, how in BLOCKS.values():
        for name in re.findall(r"tests/\S+\.py", how):
            assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_fence_is_found_and_commands_are_marked_as_such(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    own = blocks(document.relative_to(ROOT).as_posix())
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(own)
    for block in own:
        if re.match(
            r"(\.venv/|make |pip |curl |docker |kubectl |gunicorn |spleeter-microservice )", block.text
        ):
            assert block.language == "sh", block


def test_the_examples_of_how_to_add_something_are_in_the_code() -> None:
    code = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in PACKAGE.rglob("*.py"))
    for block in blocks("CONTRIBUTING.md", "python"):
        assert " ".join(block.text.split()) in code, block.text


def test_the_configurations_of_other_programs_fit_this_one() -> None:
    (clamd,) = blocks("docs/security.md", "conf")
    ours = (ROOT / "deploy" / "clamav" / "clamd.conf").read_text(encoding="utf-8").splitlines()
    assert {line.partition("  ")[0] for line in re.sub(" *#.*", "", clamd.text).splitlines()} <= set(ours)
    (nginx,) = blocks("docs/operations.md", "nginx")
    settings = Settings()
    assert f"client_max_body_size {settings.max_file_size_mb}m;" in nginx.text
    assert f"proxy_pass http://{settings.host}:{settings.port};" in nginx.text


def test_the_example_of_a_list_of_songs_has_the_columns_that_are_read(tmp_path: Path) -> None:
    (example,) = blocks("docs/training.md", "csv")
    assert example.text.splitlines()[0] == write_list(tmp_path / "list.csv", []).read_text().strip()


def test_the_french_readme_has_the_sections_and_examples_of_the_english_one() -> None:
    english, french = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.fr.md")]
    levels = re.compile(r"^#+(?= )", re.MULTILINE)
    assert levels.findall(french) == levels.findall(english)
    examples = [[block.text for block in blocks(name)] for name in ("README.md", "README.fr.md")]
    assert examples[0] == examples[1]


def test_every_command_in_the_text_has_the_flags_that_it_names() -> None:
    named = [words for path in DOCUMENTS for words in commands_in(path)]
    for command, *words in named:
        parser = nested(PARSER)[command]
        flags = set(parser._option_string_actions)
        if nested(parser) and (command, words) != ("audit", ["record"]):  # an event of the log
            flags |= set(nested(parser)[words[0]]._option_string_actions)
        assert {word.strip("[]") for word in words if re.match(r"\[?--?\w", word)} <= flags, (command, words)
    assert len(named) > 20


def commands_in(document: Path) -> Iterator[list[str]]:
    """Yield the words of each command that the sentences and tables of a document name."""
    prose = re.sub(r"(?ms)^```.*?^```$", "", document.read_text(encoding="utf-8"))
    for span in re.findall(r"`([^`]+)`", prose.replace("\n", " ")):
        words = span.rpartition("spleeter-microservice ")[2].split()
        if len(words) > 1 and words[0] in nested(PARSER):
            yield words


@functools.cache
def nested(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's commands."""
    groups = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0]) if groups else {}


def test_every_variable_in_the_text_exists() -> None:
    outside = {
        "SPLEETER_BIND",
        "SPLEETER_IMAGE",
        "SPLEETER_DATABASE_PASSWORD",
        "SPLEETER_MEMORY_LIMIT",
    }  # of compose.yaml
    known = {variable.name for variable in variables()} | outside
    for path in DOCUMENTS:
        if path.name != "CHANGELOG.md":  # which names what there was
            named = set(re.findall(r"SPLEETER_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
            assert named <= known, (path.name, named - known)


def test_every_key_of_a_training_is_documented() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for key in KNOWN_KEYS:
        assert f"`{key}`" in text, key


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_files_named_in_the_architecture_exist() -> None:
    for name in re.findall(r"`([\w/]+\.(?:py|sql))`", ARCHITECTURE):
        assert any((PACKAGE / folder / name).is_file() for folder in ("", "database")), name


def test_functions_named_in_the_architecture_are_in_the_files_before_them() -> None:
    found = re.findall(r"`([\w/]+\.py)`\s+`([\w.]+)`", ARCHITECTURE)
    assert len(found) > 20
    for name, function in found:
        body = ast.parse((PACKAGE / name).read_text(encoding="utf-8")).body
        for part in function.split("."):
            (definition,) = (node for node in body if getattr(node, "name", None) == part)
            body = getattr(definition, "body", [])


def test_every_room_is_in_the_architecture() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [" · ".join(layer.split(" | ")) for layer in contract["contracts"][0]["layers"]]
    for layer in layers:
        assert layer in ARCHITECTURE
        for room in layer.split(" · "):
            assert re.search(rf"^\| .*`{room}(\.py)?`.* \|", ARCHITECTURE, re.MULTILINE), room


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_of_documents_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
