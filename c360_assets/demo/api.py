"""The API at the end of the demonstration: up, with a line for each role that was tried and works."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from c360.errors import C360Error
from c360.lakehouse import Lakehouse
from c360_assets.demo.features import follow_orders

if TYPE_CHECKING:
    from rich.console import Console

    from c360.engines.stack import Stack
    from c360.settings import Settings


LIVE_S = 60.0


def show_api(settings: Settings, stack: Stack, console: Console, *, with_streams: bool) -> bool:
    """Start the API, ask it as every role and print how; True if all are answered, and live if streams run."""
    import httpx

    console.rule("API")
    stack.up("api", *(["live"] if with_streams else []), exist_ok=True)
    somebody, root = _somebody(settings), f"http://127.0.0.1:{settings.api_port}"
    address = f"{root}/v1/customers/{somebody}"
    good = True
    keys = _keys()
    for role, key in keys.items():
        try:
            answer = httpx.get(address, headers={"x-api-key": key}, timeout=30)
            works, columns = answer.is_success, len(answer.json().get("data", ()))
        except (httpx.HTTPError, ValueError):
            works, columns = False, 0
        good = good and works
        verdict = f"[green]{columns} columns[/green]" if works else "[red]FAILED[/red]"
        console.print(f"{role:<10} {verdict}")
        console.print(escape(f"  curl -s -H 'x-api-key: {key}' {address}"), highlight=False, soft_wrap=True)
    if with_streams:
        good = _show_live(f"{address}/live", keys["support"], console) and good
        good = follow_orders(settings, f"{address}/live", keys["privacy"], somebody, console) and good
    console.print(f"The same customer in a browser, with one of these keys: {root}/#id={somebody}", soft_wrap=True)
    return good


def _show_live(address: str, key: str, console: Console) -> bool:
    """What the streams have said last of the customer; True once everything that arrived has been read."""
    import httpx

    deadline = time.monotonic() + LIVE_S
    while True:
        answer = httpx.get(address, headers={"x-api-key": key}, timeout=30)
        nothing: dict[str, Any] = {"live": {"state": "no answer"}, "data": {"parts": {}}}
        found = answer.json() if answer.is_success else nothing
        if found["live"]["state"] == "live" or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    state = found["live"]["state"]
    said = [f"{name} {part['event_time']} ({part['source']})" for name, part in found["data"]["parts"].items() if part]
    console.print(f"live       {state}: {', '.join(said)}", highlight=False, soft_wrap=True)
    console.print(escape(f"  curl -s -H 'x-api-key: {key}' {address}"), highlight=False, soft_wrap=True)
    return bool(state == "live")


def _somebody(settings: Settings) -> str:
    """A customer whom every role may see: one who consented to marketing."""
    with Lakehouse(settings) as lake:
        found = lake.read("gold.customer_360", ["customer_id"], "consent_marketing_email == true")
    if not found.num_rows:
        raise C360Error("No customer has consented to marketing", "choose a larger C360_SCALE")
    return min(str(each) for each in found.column("customer_id").to_pylist())


def _keys() -> dict[str, str]:
    """One key per role. By a command, as the API is a room beside this one."""
    command = [sys.executable, "-m", "c360.cli", "api", "demo-keys", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise C360Error("The API's demonstration keys could not be made", done.stderr.strip() or "see the log")
    found: dict[str, str] = json.loads(done.stdout)
    return found
