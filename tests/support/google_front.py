"""Google's authentication in front of the S3 server, which speaks Google's XML API otherwise.

The service's client uses that API. No emulator of Google's that package indexes have speaks it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.s3_server import S3Server

GOOGLE_BUCKET = "google-songs"
_ALGORITHM = "GOOG4-RSA-SHA256"
_HOST = "storage.googleapis.com"  # which the client signs, wherever it finds the bucket
_REFUSAL = b"<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code></Error>"


class _Front(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behind: str, key: RSAPrivateKey) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.key = urlsplit(behind).netloc, key


class _Handler(BaseHTTPRequestHandler):
    server: _Front
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not (self._has_token() or self._is_signed()):
            self._send(403, [], _REFUSAL)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "authorization"}
        path = self.path.partition("?X-Goog-")[0]
        with contextlib.closing(HTTPConnection(self.server.behind)) as connection:
            connection.request(self.command, path, body or None, headers)
            answer = connection.getresponse()
            self._send(answer.status, answer.getheaders(), answer.read())

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name in ("do_HEAD", "do_PUT", "do_POST", "do_DELETE"):
            return self.do_GET
        raise AttributeError(name)

    def _has_token(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with contextlib.suppress(jwt.InvalidTokenError):
            return bool(jwt.decode(token, self.server.key.public_key(), algorithms=["RS256"]))
        return False

    def _is_signed(self) -> bool:
        """Return whether an address has Google's signature, version 4, of this method."""
        path, _, query = self.path.partition("?")
        named = {name: values[0] for name, values in parse_qs(query).items()}
        signed = query.partition("&X-Goog-Signature=")[0]
        request = [self.command, path, signed, f"host:{_HOST}", "", "host", "UNSIGNED-PAYLOAD"]
        digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
        scope = named.get("X-Goog-Credential", "").partition("/")[2]
        text = "\n".join([_ALGORITHM, named.get("X-Goog-Date", ""), scope, digest])
        signature = bytes.fromhex(named.get("X-Goog-Signature", ""))
        with contextlib.suppress(InvalidSignature):
            self.server.key.public_key().verify(signature, text.encode(), PKCS1v15(), hashes.SHA256())
            return True
        return False

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def google_front(server: S3Server) -> Iterator[dict[str, str]]:
    """Serve an empty bucket of the server as Google does; yield the environment of those who may use it."""
    key = generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    resources = [f"arn:aws:s3:::{GOOGLE_BUCKET}", f"arn:aws:s3:::{GOOGLE_BUCKET}/*"]
    anyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [anyone]})
    server.administrator.create_bucket(Bucket=GOOGLE_BUCKET)
    server.administrator.put_bucket_policy(Bucket=GOOGLE_BUCKET, Policy=policy)
    with _Front(server.url, key) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        account = {
            "client_email": "service@example.com",
            "private_key": private,
            "private_key_id": "1",
            "gcs_base_url": f"http://127.0.0.1:{front.server_port}",
        }
        try:
            yield {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}
        finally:
            front.shutdown()
            thread.join()
