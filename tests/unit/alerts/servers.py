"""Real servers on free ports: a webhook's and a mail server's, with the faults that tests ask for."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """What a webhook server answers next, and what it was told."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.status = 200
        self.hangs = False
        self.release = threading.Event()
        self.tried = 0
        self.messages: list[str] = []
        self.url = ""


@contextmanager
def hook_server() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.tried += 1
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.hangs:
                hook.release.wait(30)
                return
            status = hook.statuses.pop(0) if hook.statuses else hook.status
            if status == 200:
                assert list(body) == ["text"]
                hook.messages.append(body["text"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/B0/hook-secret-1234"
    try:
        yield hook
    finally:
        hook.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Mailbox:
    """What a mail server was told; ``refuse`` answers MAIL FROM with that code, ``starttls`` offers encryption."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.refuse: int | None = None
        self.port = 0
        self.mails: list[str] = []
        self.logins: list[tuple[str, bool]] = []


class _Session:
    def __init__(self, box: Mailbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.box, self.reader, self.writer = box, reader, writer
        self.encrypted = False

    def say(self, text: str) -> None:
        self.writer.write(f"{text}\r\n".encode())

    async def serve(self) -> None:
        self.say("220 here")
        while command := (await self.reader.readline()).decode().strip():
            verb = command.upper()
            if verb.startswith("EHLO"):
                offered = ["AUTH PLAIN"] if self.encrypted else ["STARTTLS"] if self.box.context else []
                self.say("250-here")
                for offer in offered:
                    self.say(f"250-{offer}")
                self.say("250 SMTPUTF8")
            elif verb == "STARTTLS":
                self.say("220 go")
                await self.writer.drain()
                assert self.box.context is not None
                await self.writer.start_tls(self.box.context)
                self.encrypted = True
            elif verb.startswith("AUTH PLAIN"):
                self.box.logins.append((command.split()[2], self.encrypted))
                self.say("235 known")
            elif verb.startswith("MAIL FROM") and self.box.refuse:
                self.say(f"{self.box.refuse} no")
            elif verb == "DATA":
                self.say("354 go on")
                await self.writer.drain()
                text = await self.reader.readuntil(b"\r\n.\r\n")
                self.box.mails.append(text.decode("ascii").removesuffix(".\r\n"))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                await self.writer.drain()
                break
            else:
                self.say("250 ok")
            await self.writer.drain()
        self.writer.close()


@contextmanager
def mail_server(context: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    box, ready, loop = Mailbox(context), threading.Event(), asyncio.new_event_loop()
    end = asyncio.Event()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Session(box, reader, writer).serve()
        except OSError:
            writer.close()  # a client that does not trust the certificate goes away

    async def main() -> None:
        server = await asyncio.start_server(session, "127.0.0.1", 0)
        box.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
