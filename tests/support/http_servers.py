"""Real HTTP servers on the loopback interface, with the responses that a test chooses."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import ProxyHandler, build_opener

Answer = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """A server that gives the k-th request the k-th response, and further ones the last."""

    daemon_threads = True

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Handler that passes a request to the server's next response."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.server.lock:
            k = len(self.server.requests)
            self.server.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.server.answers[min(k, len(self.server.answers) - 1)](self)

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def content(
    body: bytes, etag: str | None = None, *, break_at: int | None = None, ranges: bool = True
) -> Answer:
    """Send a file as web servers do, with Range and If-Range; break off after this many bytes."""

    def answer(request: Handler) -> None:
        wanted = request.headers.get("Range", "")
        begin = 0
        if ranges and wanted and request.headers.get("If-Range") in (None, etag):
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - begin))
        if etag is not None:
            request.send_header("ETag", etag)
        request.end_headers()
        request.wfile.write(body[begin:break_at])

    return answer


def status(code: int, body: bytes = b"") -> Answer:
    def answer(request: Handler) -> None:
        request.send_response(code)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def chunked(body: bytes, *, end: bool = True) -> Answer:
    """Send a file without its length, and perhaps without its end."""

    def answer(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if end else b""))

    return answer


def redirect(path: str) -> Answer:
    def answer(request: Handler) -> None:
        request.send_response(302)
        request.send_header("Location", path)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def stall(body: bytes, released: threading.Event) -> Answer:
    """Send the start of a file, and the rest only once released."""

    def answer(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", '"stalled"')
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])
        released.wait(60)
        request.wfile.write(body[len(body) // 2 :])

    return answer


def forward(request: Handler) -> None:
    """Respond as a proxy: fetch the URL that the request names."""
    assert request.path.startswith("http://")
    with build_opener(ProxyHandler({})).open(request.path, timeout=10) as response:
        body = response.read()
    content(body)(request)


@contextlib.contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server(list(answers)) as server:
        if tls is not None:
            # The handshake belongs to the request's thread: it may fail, and that is a test too.
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
