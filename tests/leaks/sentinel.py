"""Collects what is said and judges it: who said it to whom, and does it name somebody whom they may not know?"""

from __future__ import annotations

import io
import json
import os
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import polars as pl
import pyarrow as pa

from tests.leaks.people import People, small
from tests.leaks.rights import NOBODY, Asker, may_see

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx
    import httpx2

AT_ONCE = 32 * 2**20
"""Bytes of texts that are kept before they are searched."""

PACKED: dict[str, Literal["gzip", "zstd", "brotli"]] = {"gzip": "gzip", "zstd": "zstd", "br": "brotli"}
"""Content codings, as Arrow names them."""


class Said(NamedTuple):
    """A text; ``home`` is that of the lake, None for what may be about any of them."""

    kind: str
    where: str
    text: str
    asker: Asker
    home: Path | None


class Sentinel:
    """Of a whole run of tests. ``counts`` are what it has heard, by kind, and what it found that might be seen."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.askers: dict[str, Asker] = {}
        self._people: dict[Path, People] = {}
        self._logs: dict[Path, set[Path]] = {}
        self._offsets: dict[tuple[int, bytes], int] = {}
        self._said: dict[Said, None] = {}
        self._size = 0
        self._leaks: list[str] = []
        self._lock = threading.RLock()

    def watch(self, home: Path, warehouse: Path | None = None, log: Path | None = None) -> None:
        """Look for the customers of this home's lake, in its audit log, and in the log of a process."""
        with self._lock:
            if home not in self._people:
                self._people[home] = People(warehouse or home / "warehouse")
            self._logs.setdefault(home, set()).update({log} if log else ())

    @contextmanager
    def watching(self, home: Path, log: Path) -> Iterator[None]:
        """While a process serves the lake of this home, with its log in this file and those that it is moved to."""
        alone = home not in self._people
        self.watch(home, log=log)
        try:
            yield
        finally:
            self.forget(home) if alone else self._search()

    def forget(self, home: Path) -> None:
        """Its service has ended."""
        with self._lock:
            self._search()
            self._people.pop(home, None)
            self._logs.pop(home, None)

    def answer(
        self, home: Path, where: str, headers: Mapping[str, str], status: int, told: Mapping[str, str], body: bytes
    ) -> None:
        """An answer with the headers ``told`` to a request with ``headers``, names of both in small letters."""
        coding = told.get("content-encoding", "")
        if body and coding not in ("", "identity"):
            with pa.CompressedInputStream(io.BytesIO(body), PACKED[coding]) as unpacked:
                body = unpacked.read()
        text = body.decode(errors="replace")
        # What refuses, and every header, names nobody to anybody.
        data = status == 200 and not told.get("content-type", "").startswith("application/problem")
        asker = self._asker(home, headers) if data else NOBODY
        self._hear(Said("answer", f"{where} ({status})", text, asker, home))
        self._hear(Said("headers", f"{where} ({status})", "\n".join(told.values()), NOBODY, home))
        self.counts["traced answers"] += "traceresponse" in told

    def received(self, home: Path, answer: httpx.Response | httpx2.Response) -> None:
        """An answer of a process."""
        sent, told = ({n.lower(): v for n, v in each.headers.items()} for each in (answer.request, answer))
        told.pop("content-encoding", None)  # its body comes unpacked
        where = f"{answer.request.method} {answer.request.url.path}"
        self.answer(home, where, sent, answer.status_code, told, answer.content)

    def line(self, where: str, text: str) -> None:
        """A line of the log."""
        self._hear(Said("log line", where, text, NOBODY, None))

    def span(self, name: str, text: str) -> None:
        """A span that goes to an exporter."""
        self._hear(Said("span", name, text, NOBODY, None))

    def judge(self) -> list[str]:
        """What leaked since the last time."""
        with self._lock:
            self._search()
            found, self._leaks = self._leaks, []
            return list(dict.fromkeys(found))

    def _asker(self, home: Path, headers: Mapping[str, str]) -> Asker:
        key = headers.get("x-api-key") or headers.get("authorization", "").rpartition(" ")[2]
        if key not in self.askers:
            try:
                demo: dict[str, str] = json.loads((home / "api" / "demo-keys.json").read_text())
            except OSError:
                demo = {}
            for role, made in demo.items():
                self.askers[made] = Asker(frozenset({role}), None, frozenset({role}))
        return self.askers.get(key, NOBODY).stating(headers.get("c360-purpose"))

    def _hear(self, said: Said) -> None:
        with self._lock:
            self.counts[said.kind] += 1
            if said not in self._said:
                self._said[said] = None
                self._size += len(said.text)
            if self._size > AT_ONCE:
                self._search()

    def _files(self) -> None:
        """Lines that are new in the files of processes and of the audit log; a file that is moved is the same one."""
        for home, logs in self._logs.items():
            audit = (home / "api" / "audit").glob("*.jsonl")
            for kind, files in (
                ("audit line", audit),
                ("process line", (file for log in logs for file in log.parent.glob(f"{log.name}*"))),
            ):
                for file in files:
                    with file.open("rb") as opened:
                        # Its first line tells it from another that was given the number of a deleted one.
                        known = os.fstat(opened.fileno()).st_ino, opened.readline()
                        opened.seek(self._offsets.get(known, 0))
                        text = opened.read()
                        self._offsets[known] = opened.tell()
                    if text:
                        self.counts[kind] += text.count(b"\n")
                        self._said[Said(kind, file.name, text.decode(errors="replace"), NOBODY, home)] = None

    def _search(self) -> None:
        with self._lock:
            self._files()
            said, self._said, self._size = list(self._said), {}, 0
            for home, people in self._people.items():
                people.look()
                about = [each for each in said if each.home in (None, home)]
                if not about or not people.patterns:
                    continue
                texts = pl.Series([each.text for each in about])
                # Aho-Corasick, of all patterns at once.
                hits = texts.str.extract_many(list(people.patterns), ascii_case_insensitive=True, overlapping=True)
                for each, found in zip(about, hits, strict=True):
                    for pattern in set(found):
                        self._weigh(each, people, small(pattern))

    def _weigh(self, said: Said, people: People, pattern: str) -> None:
        owners = people.patterns[pattern]
        if any(may_see(said.asker, column, people.persons[customer]) for customer, column in owners):
            self.counts["seen by who may"] += 1
            return
        customer, column = min(owners)
        to = f" to {', '.join(sorted(said.asker.roles)) or 'nobody in particular'}" if said.kind == "answer" else ""
        self._leaks.append(f"{column} of {customer} in the {said.kind} {said.where}{to}")


SENTINEL = Sentinel()
