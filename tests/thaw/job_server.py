"""The part of a Ray dashboard that a job's client talks to, for tests of that client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import ray


class JobServer(ThreadingHTTPServer):
    """Takes one job, whose statuses and logs follow a script: one step for each question."""

    daemon_threads = True

    def __init__(self, script: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        """Of each step: `status`, and perhaps `log`, `driver_exit_code`, `message` or `error`."""
        self.refusal = 0
        """HTTP status with which every request is refused; 0 for none."""
        self.submitted: dict[str, Any] = {}
        self.most_bytes = 100 * 2**20
        self.stopped = False
        self.after_stop: list[dict[str, Any]] = []
        self.step: dict[str, Any] = {}
        self.logs_read = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: JobServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.server.refusal:
            return self._answer(self.server.refusal, {})
        if self.path == "/api/version":
            return self._answer(200, {"ray_version": ray.__version__, "version": "4"})
        if self.path.startswith("/api/packages/"):
            return self._answer(404, {})
        if self.path.endswith("/logs"):
            log = self.server.step.get("log")
            self.server.logs_read += 1
            return self._answer(200 if log is not None else 500, {"logs": log})
        script = self.server.after_stop if self.server.stopped else self.server.script
        self.server.step = script.pop(0) if len(script) > 1 else script[0]
        if "error" in self.server.step:
            return self._answer(500, {})
        told = {name: value for name, value in self.server.step.items() if name != "log"}
        return self._answer(200, {"type": "SUBMISSION", "entrypoint": "thaw", **told})

    def do_PUT(self) -> None:
        num_bytes = len(self.rfile.read(int(self.headers["Content-Length"])))
        if num_bytes > self.server.most_bytes:  # in the words of Ray 2.60
            text = f"ValueError: Package size ({num_bytes}B) exceeds the maximum size of 1.00B. To"
            return self._answer(500, {"Traceback": f"in line 1\n{text} exclude large files"})
        return self._answer(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if self.path.endswith("/stop"):
            self.server.stopped = True
            return self._answer(200, {"stopped": True})
        self.server.submitted = body
        return self._answer(200, {"job_id": "1", "submission_id": body["submission_id"]})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def job_server(*script: dict[str, Any]) -> Iterator[JobServer]:
    """Serve one job that goes through `script`, whose last step stays."""
    server = JobServer(list(script))
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
