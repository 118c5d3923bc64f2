"""The documents agree with the program and with each other."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from spleeter_microservice.training.configuration import KNOWN_KEYS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "spleeter_microservice"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


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
