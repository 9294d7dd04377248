"""The API as a process of the stack: killed under load it has recorded whatever it answered, and comes back."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

import httpx
import httpx2
import pytest

from api.client import ApiError, Client, UnreachableError
from api.security.keys import KeyStore, key_path
from api.security.principal import Role
from c360.engines.stack import Stack
from c360.lakehouse import Lakehouse
from c360.privacy.keyed import hash_key
from c360.serving.model import TABLES
from c360.serving.release import release
from c360.serving.store import Store
from c360.settings import Settings
from tests.conftest import free_port
from tests.leaks.sentinel import SENTINEL
from tests.unit.engines.engine_specs import eventually, gone, tagged
from tests.unit.serving.company import Company

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(home=tmp_path_factory.mktemp("api"), api_port=free_port())
    with Lakehouse(settings) as lake:
        Company(lake, customers=30).publish()
        found = release(lake, TABLES)
        store = Store(settings.serving_dir)
        store.serve(store.build(lake, found, hash_key(settings)).release)
    stack = Stack(settings)
    with SENTINEL.watching(settings.home, settings.home / "logs" / "api.log"):
        stack.up("api")
        try:
            yield stack
        finally:
            left = tagged(settings)
            stack.down()
    assert [process for process in left if not gone(process.pid)] == []


CHANGED = ("gold.customer_360", "gold.fact_orders")


class Askers:
    """Threads that ask until the block is left."""

    def __init__(self, *asking: Callable[[], None]) -> None:
        self.over = threading.Event()
        self.threads = [threading.Thread(target=each) for each in asking]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


class Load(Askers):
    """Asks from several threads; keeps the ids of what was answered whole, and what was neither whole nor cut off.

    With ``retries`` no call may fail, and without only where nobody listens or the connection is cut.
    """

    def __init__(self, stack: Stack, key: str, retries: int) -> None:
        self.address = f"http://127.0.0.1:{stack.settings.api_port}"
        self.home = stack.settings.home
        self.key, self.retries, self.answered, self.wrong = key, retries, list[str](), list[str]()
        super().__init__(*(partial(self._ask, number) for number in range(4)))

    def goes_on(self) -> bool:
        """A hundred more answers come."""
        count = len(self.answered)
        return eventually(lambda: len(self.answered) > count + 100, 30)

    def _ask(self, number: int) -> None:
        ids = [""]

        def heard(answer: httpx2.Response) -> None:
            ids[0] = answer.headers["x-request-id"]
            answer.read()
            SENTINEL.received(self.home, answer)
            if answer.status_code != 200:
                self.wrong.append(str(answer.status_code))

        with httpx2.Client(event_hooks={"response": [heard]}) as http:
            client = Client(self.address, key=self.key, timeout=20, retries=self.retries, http=http)
            while not self.over.is_set():
                number = (number + 7) % 30
                try:
                    found = client.get_customer(f"C00000{number:02}")
                except UnreachableError as error:
                    self.wrong += [str(error)] * bool(self.retries)
                    self.over.wait(0.01)
                except ApiError as error:
                    self.wrong.append(str(error))
                else:
                    if found["data"]["customer_id"] == f"C00000{number:02}":
                        self.answered.append(ids[0])
                    else:
                        self.wrong.append(f"{found['data']}")


def recorded(folder: Path) -> set[str]:
    """Request ids of all whole lines."""
    found = set()
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            try:
                found.add(str(json.loads(line).get("request")))
            except ValueError:
                continue
    return found


class Watch(Askers):
    """Asks for lists and rows while releases come; each release has written its number into all of its rows."""

    PATHS = ("customers?limit=200", "customers/C0000003", "customers/C0000003/orders", "customers/C0000003/timeline")

    def __init__(self, stack: Stack, key: str) -> None:
        self.address, self.key = f"http://127.0.0.1:{stack.settings.api_port}/v1/", key
        self.failed, self.asked = list[str](), 0
        self.home = stack.settings.home
        self.numbers: dict[str, set[str]] = {}
        super().__init__(*(partial(self._ask, path) for path in self.PATHS))

    def _ask(self, path: str) -> None:
        with httpx.Client(headers={"x-api-key": self.key}, timeout=20) as client:
            while not self.over.is_set():
                try:
                    answer = client.get(self.address + path)
                except httpx.TransportError as error:
                    self.failed.append(f"{path} {error!r}")
                    continue
                self.asked += 1
                SENTINEL.received(self.home, answer)
                if answer.status_code != 200:
                    self.failed.append(f"{path} {answer.status_code} {answer.text}")
                    continue
                found = set(re.findall(r"release-\d+", answer.text))
                self.numbers.setdefault(answer.json()["release"]["id"], set()).update(found)


def test_twenty_publishes_under_load_are_seen_whole_and_fail_no_request(stack: Stack) -> None:
    keys = KeyStore(key_path(stack.settings.home))
    key = keys.create("load", [Role.SUPPORT, Role.ANALYST])
    keys.close()
    store, published = Store(stack.settings.serving_dir), dict[str, set[str]]()
    with Lakehouse(stack.settings) as lake, Watch(stack, key) as watch:
        company = Company(lake, customers=30)
        before = store.current
        for number in range(20):
            for table, column in zip(CHANGED, ("acquisition_channel", "sales_channel"), strict=True):
                for row in company.rows[table]:
                    row[column] = f"release-{number}"
            # The first time all; then those that change, beside which the others stay as they are.
            company.publish(run=f"twenty-{number}", tables=CHANGED if number else TABLES)
            found = release(lake, TABLES)
            name = store.build(lake, found, hash_key(stack.settings)).release
            store.serve(name)
            store.prune(5)
            published[name] = {f"release-{number}"}
            assert eventually(lambda name=name: name in watch.numbers, 30)  # type: ignore[misc]
    assert watch.failed == []
    assert watch.asked > 1000
    assert {name: found for name, found in watch.numbers.items() if name != before} == published


def test_killed_under_load_it_has_recorded_whatever_it_answered_and_comes_back(stack: Stack) -> None:
    """Who asks again notices nothing but a pause."""
    keys = KeyStore(key_path(stack.settings.home))
    key = keys.create("load", [Role.SUPPORT])
    keys.close()
    with Load(stack, key, retries=30) as load:
        for _ in range(2):
            assert load.goes_on()
            [pid] = [engine.pid for engine in stack.status() if engine.name == "api"]
            os.kill(pid, signal.SIGKILL)
            assert eventually(partial(gone, pid))
            stack.up("api")
        assert load.goes_on()
    assert load.wrong == []
    assert set(load.answered) <= recorded(stack.settings.home / "api" / "audit")


def test_stopped_in_an_orderly_way_it_fails_no_request(stack: Stack) -> None:
    """Whoever is connected gets an answer; later connections are refused, and not cut."""
    keys = KeyStore(key_path(stack.settings.home))
    key = keys.create("load", [Role.SUPPORT])
    keys.close()
    with Load(stack, key, retries=0) as load:
        assert load.goes_on()
        [pid] = [engine.pid for engine in stack.status() if engine.name == "api"]
        os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: gone(pid), 30)
    assert load.wrong == []
    assert set(load.answered) <= recorded(stack.settings.home / "api" / "audit")
    stack.up("api")
    address = f"http://127.0.0.1:{stack.settings.api_port}/readyz"
    assert httpx.get(address, timeout=10).status_code == 200
