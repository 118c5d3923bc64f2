"""The facts of errors are complete and do not contradict each other."""

from collections import defaultdict

from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.errors import (
    NotAudioError,
    RequestError,
    ScanLimitError,
    SpleeterError,
    TruncatedInputError,
    error_classes,
)
from spleeter_microservice.web.problem_handler import title_of


def package_errors() -> list[type[SpleeterError]]:
    """Return the error classes of the package, without those that tests have made."""
    return [kind for kind in error_classes() if kind.__module__ == SpleeterError.__module__]


def test_every_error_that_the_command_line_can_raise_has_an_exit_status_of_its_own() -> None:
    raised = [
        kind for kind in package_errors() if not kind.__subclasses__() and not issubclass(kind, RequestError)
    ]
    statuses = [kind.exit_status for kind in raised]
    assert len(set(statuses)) == len(statuses)
    assert not {0, 1, SOME_FAILED} & set(statuses)


def test_one_code_has_one_http_status_and_one_title() -> None:
    by_code = defaultdict(set)
    for kind in package_errors():
        by_code[kind.code].add((kind.http, title_of(kind)))
    assert {code: found for code, found in by_code.items() if len(found) > 1} == {}


def test_a_title_is_made_of_the_words_of_the_code_unless_it_is_named() -> None:
    assert title_of(NotAudioError) == "Not audio"
    assert title_of(ScanLimitError) == "Beyond what is scanned"


def test_an_error_without_attributes_has_those_of_the_class_above() -> None:
    class NewInputError(TruncatedInputError):
        pass

    names = ("code", "http", "exit_status", "public", "title", "retry_after")
    assert [getattr(NewInputError, name) for name in names] == [
        getattr(TruncatedInputError, name) for name in names
    ]


def test_every_meaning_is_one_sentence_on_one_line() -> None:
    for kind in package_errors():
        first, *rest = (kind.__doc__ or "").splitlines()
        assert first.endswith("."), kind
        assert not rest or not rest[0], kind
