"""The guide ``docs/api.md``: its examples run, and its tables say what the policy and the settings say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.security.policy import PURPOSES, Action, Policy
from api.security.principal import Principal, Role
from api.security.settings import SecuritySettings
from c360.contracts import get_contract
from tests.leaks.sentinel import SENTINEL

if TYPE_CHECKING:
    from api.security.decision import Decision
    from tests.unit.api_app.conftest import World

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROUTED = (
    Action.READ_CUSTOMER, Action.LOOKUP_CUSTOMER, Action.SEARCH_CUSTOMERS, Action.BATCH_CUSTOMERS,
    Action.EXPORT_CUSTOMERS,     Action.READ_PRODUCTS, Action.READ_METRICS, Action.READ_TABLES,
)  # fmt: skip


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples call curl")
def test_every_example_answers_as_the_guide_says(server: dict[str, str], tmp_path: Path) -> None:
    """Each ``curl`` gives 200, or the status in the comment behind it."""
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if re.search(r"\bcurl\b", line)]
    wanted = [found[1] if (found := re.search(r"# (\d{3})$", line)) else "200" for line in lines]
    assert len(wanted) > 20
    assert {"400", "401", "403", "404", "422", "304"} <= set(wanted)
    # Each answer is kept with what was asked, to be searched for people whom the asker may not see.
    told = """curl() {
        local at; at=$(mktemp -d "$ASKED/XXXXXX"); printf '%s\\n' "$@" > "$at/asked"
        command curl --max-time 30 -w '%{stderr}status %{http_code}\\n' "$@" | tee "$at/answer"
    }\n"""
    script = "set -euo pipefail\n" + told + "\n".join(blocks)
    own = server | {"ASKED": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=own, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found_statuses = re.findall(r"^status (\d{3})$", done.stderr, re.MULTILINE)
    heard(Path(server["C360_HOME"]), tmp_path)
    assert list(zip(lines, found_statuses, strict=True)) == list(zip(lines, wanted, strict=True))


def test_the_example_in_python_prints_what_the_guide_says(server: dict[str, str]) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    command = ["bash", "-c", """c360 api demo-keys | awk '$1 == "analyst" { print $2 }'"""]
    key = subprocess.run(command, env=server, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    done = subprocess.run(
        [sys.executable, "-c", code], env=server | {"KEY": key}, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    [refused] = re.findall(r"# (403 .*)", code)
    assert refused in printed
    assert printed[-1] == printed[-2] != "0"


def heard(home: Path, asked: Path) -> None:
    """Hand the answers on; an answer whose headers were asked for as well is searched with them."""
    folders = list(asked.iterdir())
    assert len(folders) > 20
    for folder in folders:
        said = (folder / "asked").read_text()
        key = re.search(r"^x-api-key: (\S+)$", said, re.MULTILINE)
        [where] = re.findall(r"^http.*$", said, re.MULTILINE)
        body = (folder / "answer").read_bytes()
        status = 0 if b'"urn:c360:problem:' in body else 200
        SENTINEL.answer(home, where, {"x-api-key": key[1]} if key else {}, status, {}, body)


def _asking(role: Role, *, purposes: bool = True, scopes: tuple[str, ...] = tuple(Action)) -> Principal:
    granted = PURPOSES & {role} if purposes else frozenset[str]()
    return Principal("test", "user", frozenset({role}), None, frozenset(granted), frozenset(scopes))


def test_the_table_of_roles_is_the_policy() -> None:
    policy = Policy()
    rows = [["", *Role], ["---"] * (len(Role) + 1)]
    rows += [[f"`{action}`", *(_may(policy, role, action) for role in Role)] for action in ROUTED]
    rows += [
        [label, *(_sees(policy, role, name) for role in Role)]
        for label, name in (("direct identifiers", "direct"), ("quasi-identifiers", "quasi"))
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows).replace("|  |", "| |")
    assert GUIDE.partition("<!-- roles -->\n")[2].partition("\n<!-- /roles -->")[0] == table


def _may(policy: Policy, role: Role, action: str) -> str:
    decision = policy.decide(_asking(role), action)
    if not decision.allowed:
        return "–"
    needs = [
        name
        for name, less in (("scope", _asking(role, scopes=())), ("purpose", _asking(role, purposes=False)))
        if not policy.decide(less, action).allowed
    ]
    return ", ".join(needs + ["consent"] * bool(decision.conditions.needs_consent)) or "yes"


def _sees(policy: Policy, role: Role, name: str) -> str:
    decision = policy.decide(_asking(role), Action.READ_CUSTOMER)
    classes = {column.name: column.classification for column in get_contract("gold.customer_360").columns}
    views = decision.views.values()
    [form] = {str(value) for view in views for key, value in view.presentations.items() if key == name}
    others = sorted({column for view in views for column in view.column_overrides if classes[column] == name})
    clear = policy.decide(_asking(role, scopes=(*Action, "pii:clear")), Action.READ_CUSTOMER)
    more = "; clear with `pii:clear`" if _forms(clear, name) != _forms(decision, name) else ""
    return form + (f", but {', '.join(f'`{column}`' for column in others)}" if others else "") + more


def _forms(decision: Decision, name: str) -> set[str]:
    return {str(form) for view in decision.views.values() for key, form in view.presentations.items() if key == name}


def test_every_classified_column_route_and_setting_is_named(world: World) -> None:
    for table in ("gold.customer_360", "gold.fact_orders", "silver.events"):
        for column in get_contract(table).columns:
            assert column.classification == "none" or f"`{column.name}`" in GUIDE, column.name
    for name in SecuritySettings.model_fields:
        assert f"`C360_API_{name.upper()}`" in GUIDE
    plain = GUIDE.replace("`", "")
    for path in world.app.openapi()["paths"]:
        last = path.removeprefix("/v1").replace("{customer_id}", "{id}").replace("{product_id}", "{id}")
        assert last in plain or f"/{last.rpartition('/')[2]}" in plain, path
