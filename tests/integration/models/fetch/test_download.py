"""A download ends with the complete file, or with an error that says what to do."""

import threading
from pathlib import Path

import pytest

from spleeter_microservice.errors import DownloadError
from spleeter_microservice.models.fetch.download import RetryPolicy, download
from tests.support.http_servers import Answer, chunked, content, forward, redirect, serving, stall, status

BODY = bytes(range(256)) * 4096
HALF = len(BODY) // 2
LIMIT = 2 * len(BODY)
QUICK = RetryPolicy(attempts=4, pause=0.01)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def fetch(url: str, folder: Path, retry_policy: RetryPolicy = QUICK) -> bytes:
    path = download(url, folder / "model.tar.gz", max_bytes=LIMIT, retry_policy=retry_policy)
    assert [p.name for p in folder.iterdir()] == ["model.tar.gz"]
    return path.read_bytes()


@pytest.mark.parametrize(
    "answers",
    [
        [content(BODY)],
        [chunked(BODY)],
        [redirect("/elsewhere"), content(BODY)],
        [status(500), status(503), content(BODY)],
        [status(429), content(BODY, '"1"', break_at=HALF), content(BODY, '"1"')],
        [content(BODY, '"1"', break_at=HALF), content(BODY, '"1"', break_at=HALF + 9), content(BODY, '"1"')],
        [content(BODY, '"1"', break_at=HALF), content(BODY, '"2"')],
        [content(BODY, '"1"', break_at=HALF), content(BODY, '"1"', ranges=False)],
        [content(BODY, 'W/"1"', break_at=HALF), content(BODY, 'W/"1"')],
        [content(BODY, break_at=HALF), content(BODY)],
        [chunked(BODY, end=False), content(BODY)],
        [content(BODY, '"1"', break_at=HALF), status(416), content(BODY)],
        [content(BODY, '"1"', break_at=0), content(BODY)],
    ],
)
def test_the_whole_file_arrives_whatever_goes_wrong_on_the_way(tmp_path: Path, answers: list[Answer]) -> None:
    with serving(*answers) as server:
        assert fetch(f"{server.url}/model.tar.gz", tmp_path) == BODY
    assert len(server.requests) == len(answers)


def test_a_broken_download_is_resumed_where_it_ended(tmp_path: Path) -> None:
    with serving(content(BODY, '"1"', break_at=HALF), content(BODY, '"1"')) as server:
        fetch(server.url, tmp_path)
    _, headers = server.requests[1]
    assert headers["Range"] == f"bytes={HALF}-"
    assert headers["If-Range"] == '"1"'


def test_what_has_arrived_survives_for_the_next_run(tmp_path: Path) -> None:
    once = RetryPolicy(attempts=1)
    with serving(content(BODY, '"1"', break_at=HALF), content(BODY, '"1"')) as server:
        with pytest.raises(DownloadError, match=r"failed: .* \(what has arrived is kept\)"):
            fetch(server.url, tmp_path, once)
        assert (tmp_path / "model.tar.gz.part").stat().st_size == HALF
        assert fetch(server.url, tmp_path, once) == BODY


def test_a_range_that_was_not_requested_is_discarded(tmp_path: Path) -> None:
    def wrong(request: object) -> None:
        request.send_response(206)  # type: ignore[attr-defined]
        request.send_header("Content-Range", "bytes 0-9/10")  # type: ignore[attr-defined]
        request.send_header("Content-Length", "10")  # type: ignore[attr-defined]
        request.end_headers()  # type: ignore[attr-defined]
        request.wfile.write(b"0123456789")  # type: ignore[attr-defined]

    with serving(content(BODY, '"1"', break_at=HALF), wrong, content(BODY)) as server:
        assert fetch(server.url, tmp_path) == BODY


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_a_refusal_is_final_and_names_the_alternatives(tmp_path: Path, code: int) -> None:
    with serving(status(code)) as server, pytest.raises(DownloadError) as caught:
        fetch(server.url, tmp_path)
    assert f"the server answered {code}" in str(caught.value)
    for way in ("SPLEETER_MODELS_URL", "models import NAME PATH", "proxy"):
        assert way in str(caught.value)
    assert len(server.requests) == 1


def test_the_waits_between_attempts_grow_to_a_maximum(tmp_path: Path) -> None:
    waits: list[float] = []
    retry_policy = RetryPolicy(attempts=6, pause=1, longest_pause=5)
    with (
        serving(status(500)) as server,
        pytest.raises(DownloadError, match="failed: the server answered 500"),
    ):
        download(server.url, tmp_path / "a", max_bytes=LIMIT, retry_policy=retry_policy, sleep=waits.append)
    assert waits == [1, 2, 4, 5, 5]


def test_a_download_that_makes_progress_continues(tmp_path: Path) -> None:
    quarter = len(BODY) // 4
    breaks = [content(BODY, '"1"', break_at=quarter * k) for k in (1, 2, 3)]
    with serving(*breaks, content(BODY, '"1"')) as server:
        assert fetch(server.url, tmp_path, RetryPolicy(attempts=2, pause=0.01)) == BODY


@pytest.mark.parametrize("answer", [content(bytes(LIMIT + 1)), chunked(bytes(LIMIT + 1))])
def test_a_file_that_is_too_large_is_discarded(tmp_path: Path, answer: Answer) -> None:
    with serving(answer) as server, pytest.raises(DownloadError, match=f"more than {LIMIT} bytes"):
        fetch(server.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_times_out(tmp_path: Path) -> None:
    released = threading.Event()
    retry_policy = RetryPolicy(attempts=2, read=1.0, pause=0.01)
    with serving(stall(BODY, released), content(BODY, '"stalled"')) as server:
        assert fetch(server.url, tmp_path, retry_policy) == BODY
        released.set()
    assert server.requests[1][1]["Range"] == f"bytes={HALF}-"


def test_a_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(content(BODY)) as origin, serving(forward) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert fetch(f"{origin.url}/model.tar.gz", tmp_path) == BODY
    assert [path for path, _ in proxy.requests] == [f"{origin.url}/model.tar.gz"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://mirror.example/a",
        "file:///etc/passwd",
        "mirror.example/a",
        "http://",
        "http://mirror:port/",
        "",
    ],
)
def test_an_invalid_url_fails_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="failed: "):
        fetch(url, tmp_path, RetryPolicy(pause=60))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("HTTPS_PROXY", "nonsense://proxy"), ("SSL_CERT_FILE", "/missing/certificates.pem")],
)
def test_unusable_settings_of_the_environment_fail_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(DownloadError, match="proxies or certificates cannot be used"):
        fetch("https://mirror.example/a", tmp_path, RetryPolicy(pause=60))


def test_a_host_that_cannot_be_reached_is_reported_with_the_alternatives(tmp_path: Path) -> None:
    with serving(status(200)) as server:
        url = server.url
    with pytest.raises(DownloadError, match=rf"download of {url} failed: .*SPLEETER_MODELS_URL"):
        fetch(url, tmp_path)


def test_an_existing_file_is_not_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(BODY)
    assert fetch("http://127.0.0.1:9/", tmp_path) == BODY
