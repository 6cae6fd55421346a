"""A real S3 server, and a proxy between it and its clients that injects faults."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

from moto.server import ThreadedMotoServer

BUCKET = "bucket"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
ERRORS = {
    "slow_down": (503, "SlowDown"),
    "internal": (500, "InternalError"),
    "gateway": (502, "BadGateway"),
    "denied": (403, "AccessDenied"),
    "bad_key": (403, "InvalidAccessKeyId"),
}
"""Faults that are an answer instead of what was asked for: status, and S3's own code."""
DROP, CUT, LOST, SLOW = "drop", "cut", "lost", "slow"
"""No answer; an answer that breaks off half way; done, but told otherwise; half a second late."""
TRANSIENT = ("slow_down", "internal", "gateway", DROP, CUT, LOST, SLOW)
_SLOW_S = 0.5


@dataclass
class Faults:
    """Which fault each request meets: a share of them, drawn, or every one."""

    random: Random = field(default_factory=lambda: Random(0))
    share: float = 0.0
    kinds: tuple[str, ...] = TRANSIENT
    only: Callable[[str, str], bool] = lambda method, path: True
    """Method and path of the requests that may be hit."""
    injected: Counter[str] = field(default_factory=Counter)

    def next(self, method: str, path: str) -> str:
        """Return the fault for this request, or nothing."""
        if not self.only(method, path) or self.random.random() >= self.share:
            return ""
        kind = self.random.choice(self.kinds)
        self.injected[kind] += 1
        return kind


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server on this machine, but for its `faults`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.faults = Faults()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up when they are dropped."""

    def url(self, folder: str, bucket: str = BUCKET) -> str:
        """Return the URL of a folder of the bucket, by way of this proxy."""
        return _url(self.server_address[1], bucket, folder)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        with self.server.lock:
            fault = self.server.faults.next(self.command, self.path)
        if fault == DROP:
            return self._hang_up()
        body = self._body()
        if fault in ERRORS:
            return self._refuse(*ERRORS[fault])
        if fault == SLOW:
            time.sleep(_SLOW_S)
        status, headers, answer = self._passed_on(body)
        if fault == LOST:
            return self._refuse(*ERRORS["internal"])
        self._answer(status, headers, answer, cut=fault == CUT)

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        skipped = ("transfer-encoding", "content-length", "expect", "connection")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skipped}
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=30)
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        data = answer.read()
        behind.close()
        return answer.status, answer.getheaders(), data

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>injected {code}</Message></Error>"
        self._answer(status, [("Content-Type", "application/xml")], text.encode())

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False
    ) -> None:
        has_body = self.command != "HEAD"
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        told = next((v for k, v in headers if k.lower() == "content-length"), str(len(body)))
        self.send_header("Content-Length", str(len(body)) if has_body else told)
        self.end_headers()
        if has_body:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _url(port: int, bucket: str, folder: str) -> str:
    return f"s3://{bucket}/{folder}?endpoint_override=127.0.0.1:{port}&scheme=http"


@dataclass
class S3:
    """A server with an empty bucket, and a proxy before it."""

    port: int
    proxy: Proxy

    def url(self, folder: str) -> str:
        """Return the URL of a folder of the bucket, past the proxy."""
        return _url(self.port, BUCKET, folder)


@contextmanager
def s3_server() -> Iterator[S3]:
    """Start a server and a proxy, and stop both."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    proxy = Proxy(port)
    try:
        made = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        made.request("PUT", f"/{BUCKET}")
        assert made.getresponse().status == 200
        made.close()
        yield S3(port, proxy)
    finally:
        proxy.close()
        server.stop()
