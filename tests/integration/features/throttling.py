"""A proxy before DynamoDB that refuses, breaks off or passes on, as it is told."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PASS, THROTTLE, BROKEN, FAIL, LOST, HANG = "pass", "throttle", "broken", "fail", "lost", "hang"


class Proxy:
    """``mode`` holds for the requests that come from now on; ``refused`` counts those that were not answered."""

    def __init__(self, address: str) -> None:
        self.mode, self.refused, self._target = PASS, 0, urlsplit(address)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if self.mode == HANG:
            self.refused += 1
            self._released.wait(30)
        if self.mode in {BROKEN, HANG}:
            self.refused += 1
            handler.close_connection = True
            return
        if self.mode in {THROTTLE, FAIL}:
            self.refused += 1
            code = "ProvisionedThroughputExceededException" if self.mode == THROTTLE else "InternalServerError"
            said = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}).encode()
            self._send(handler, 400 if self.mode == THROTTLE else 500, said, "application/x-amz-json-1.0")
            return
        connection = HTTPConnection(str(self._target.hostname), self._target.port, timeout=20)
        try:
            connection.request("POST", handler.path, body, dict(handler.headers))
            answer = connection.getresponse()
            read = answer.read()
        except OSError:
            handler.close_connection = True
            return
        finally:
            connection.close()
        if self.mode == LOST:
            self.refused += 1
            handler.close_connection = True
            return
        self._send(handler, answer.status, read, str(answer.headers["content-type"]))

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        handler.send_response(status)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
