"""Generated tables of documents are kept up to date, and mistakes in their markers are reported."""

from pathlib import Path

import pytest

from scripts.generate_docs import find_tables, rewrite, update
from scripts.markdown import table

TABLES = {"fruit": lambda: ["| name |", "| --- |", "| apple |"]}
CURRENT = "# Fruit\n\n<!-- generated: fruit -->\n| name |\n| --- |\n| apple |\n<!-- end -->\n\nMore.\n"
STALE = CURRENT.replace("apple", "pear")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return tmp_path / "fruit.md"


def test_an_up_to_date_table_passes(document: Path) -> None:
    document.write_text(CURRENT, encoding="utf-8")
    assert update([document], TABLES, write=False) == []


def test_a_stale_table_is_reported_and_left_alone(document: Path) -> None:
    document.write_text(STALE, encoding="utf-8")
    (complaint,) = update([document], TABLES, write=False)
    assert complaint.startswith(str(document))
    assert document.read_text(encoding="utf-8") == STALE


def test_a_stale_table_is_rewritten_and_the_text_around_it_kept(document: Path) -> None:
    document.write_text(STALE, encoding="utf-8")
    assert update([document], TABLES, write=True) == []
    assert document.read_text(encoding="utf-8") == CURRENT


@pytest.mark.parametrize("write", [True, False])
def test_a_wrong_marker_is_reported_even_when_writing(document: Path, write: bool) -> None:
    document.write_text(CURRENT.replace("<!-- end -->", ""), encoding="utf-8")
    assert len(update([document], TABLES, write=write)) == 1


def test_markers_in_yaml_are_comments() -> None:
    text = "a:\n  # <!-- generated: fruit -->\n  # <!-- end -->\nb: c\n"
    tables = {"fruit": lambda: ["  apple:"]}
    assert rewrite(text, tables) == text.replace("  # <!-- end", "  apple:\n  # <!-- end")


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="No table is called 'stones'"):
        rewrite("<!-- generated: stones -->\n<!-- end -->\n", TABLES)


def test_a_table_that_is_not_closed_is_an_error_even_if_a_later_one_is() -> None:
    with pytest.raises(ValueError, match="'fruit' is not closed"):
        rewrite("<!-- generated: fruit -->\n" + CURRENT, TABLES)


def test_a_bar_within_a_cell_does_not_end_it() -> None:
    assert list(table(["a"], [["x|y"]]))[-1] == r"| x\|y |"


def test_every_table_of_the_package_has_a_header_and_rows() -> None:
    for lines in (list(make()) for make in find_tables().values()):
        assert len(lines) > 2
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
