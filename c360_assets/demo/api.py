"""The API at the end of the demonstration: up, with a line for each role that was tried and works."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from rich.markup import escape

from c360.errors import C360Error
from c360.lakehouse import Lakehouse

if TYPE_CHECKING:
    from rich.console import Console

    from c360.engines.stack import Stack
    from c360.settings import Settings


def show_api(settings: Settings, stack: Stack, console: Console) -> bool:
    """Start the API, ask it as every role and print how; True if all are answered."""
    import httpx

    console.rule("API")
    stack.up("api", exist_ok=True)
    somebody, root = _somebody(settings), f"http://127.0.0.1:{settings.api_port}"
    address = f"{root}/v1/customers/{somebody}"
    good = True
    for role, key in _keys().items():
        try:
            answer = httpx.get(address, headers={"x-api-key": key}, timeout=30)
            works, columns = answer.is_success, len(answer.json().get("data", ()))
        except (httpx.HTTPError, ValueError):
            works, columns = False, 0
        good = good and works
        verdict = f"[green]{columns} columns[/green]" if works else "[red]FAILED[/red]"
        console.print(f"{role:<10} {verdict}")
        console.print(escape(f"  curl -s -H 'x-api-key: {key}' {address}"), highlight=False, soft_wrap=True)
    console.print(f"The same customer in a browser, with one of these keys: {root}/#id={somebody}", soft_wrap=True)
    return good


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
