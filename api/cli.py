"""``c360 api``: API keys and the audit log. The kernel finds these commands by their entry point, not by an import."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from c360.cli.output import print_rows
from c360.settings import LOOPBACK, Settings

app = typer.Typer(no_args_is_help=True, help="The API: who may use it, and who has read whom.")
keys = typer.Typer(no_args_is_help=True, help="API keys: programs' and people's way in.")
audit = typer.Typer(no_args_is_help=True, help="The audit log: who has read whom.")
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("serve")
def serve(
    *,
    port: Annotated[int | None, typer.Option(help="Default: C360_API_PORT.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; this machine only by default.")] = LOOPBACK,
) -> None:
    """Answer requests until interrupted."""
    from api.__main__ import serve as listen

    listen(host, port)


@app.command("demo-keys")
def demo_keys_of_roles(*, as_json: Json = False) -> None:
    """One key per role for trying the API on this machine; the same ones each time."""
    from api.security.secrets import demo_keys

    found = demo_keys(Settings())
    if as_json:
        typer.echo(json.dumps(found))
        return
    for role, key in found.items():
        typer.echo(f"{role:<10} {key}")


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, as people should find it again.")],
    *,
    role: Annotated[list[str], typer.Option(help="support, analyst, marketing, privacy or service; may be repeated.")],
    region: Annotated[
        list[str] | None, typer.Option(help="A country (DE) or part of one (DE:Bayern); none means all.")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="marketing or privacy.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="What a service may do, as customer:read, and pii:clear.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; none means never.")] = None,
) -> None:
    """Make a key and print it: it cannot be shown again."""
    from api.security.errors import KeyStoreError
    from api.security.keys import KeyStore, key_path
    from api.security.policy import PURPOSES, Action
    from api.security.principal import Role

    known = {"role": set(Role), "purpose": PURPOSES, "scope": {*Action, "pii:clear"}}
    for option, values in {"role": role, "purpose": purpose, "scope": scope}.items():
        if wrong := sorted(set(values or ()) - known[option]):
            choice = ", ".join(sorted(known[option]))
            raise KeyStoreError(f"There is no {option} {', '.join(wrong)}", f"choose from {choice}")
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    store = KeyStore(key_path(Settings().home))
    limits = frozenset(region) if region else None
    typer.echo(store.create(name, [Role(value) for value in role], limits, purpose or (), scope or (), expires))


@keys.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """All keys without their secrets, also those that are revoked or expired."""
    from api.security.keys import KeyStore, key_path

    now = datetime.now(UTC)
    rows = [
        {
            "id": key.id,
            "name": key.name,
            "state": "active" if key.active(now) else "revoked" if key.revoked else "expired",
            "roles": sorted(key.principal.roles),
            "regions": ["*"] if key.principal.regions is None else sorted(key.principal.regions),
            "purposes": sorted(key.principal.purposes),
            "scopes": sorted(key.principal.scopes),
            "created": _text(key.created),
            "expires": _text(key.expires),
            "revoked": _text(key.revoked),
        }
        for key in KeyStore(key_path(Settings().home)).entries()
    ]
    if not as_json:
        rows = [{n: v for n, v in row.items() if n not in {"created", "revoked"}} for row in rows]
    print_rows(rows, as_json=as_json, empty="There are no API keys yet.", text=_cell)


@keys.command("revoke")
def revoke(ids: Annotated[list[str], typer.Argument(help="Ids of keys, from the list.")]) -> None:
    """Refuse keys from now on; running servers follow within a second."""
    from api.security.keys import KeyStore, key_path

    store = KeyStore(key_path(Settings().home))
    for key_id in ids:
        store.revoke(key_id)
        typer.echo(f"revoked {key_id}")


@audit.command("verify")
def verify_log(*, as_json: Json = False) -> None:
    """Check that nothing in the audit log was edited, removed or forged; exit code 1 if something was."""
    from api.security.audit_check import verify
    from api.security.audit_files import audit_folder
    from c360.privacy.keyed import hash_key

    settings = Settings()
    found = verify(audit_folder(settings.home), hash_key(settings))
    if as_json:
        typer.echo(json.dumps({"files": found.files, "records": found.records, "problems": found.problems}, indent=2))
    else:
        for problem in found.problems:
            typer.echo(problem, err=True)
        typer.echo(f"audit: {found.records} records in {found.files} files, {len(found.problems)} problems")
    if found.problems:
        raise typer.Exit(1)


@audit.command("tail")
def tail_log(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many records.")] = 20,
    *,
    as_json: Json = False,
) -> None:
    """The last records of all processes together, oldest first."""
    from api.security.audit_check import tail
    from api.security.audit_files import audit_folder

    found = tail(audit_folder(Settings().home), count)
    if not as_json:
        columns = ("at", "principal", "action", "outcome", "subjects", "view")
        found = [{name: record.get(name) for name in columns} for record in found]
    print_rows(found, as_json=as_json, empty="Nobody has read anything yet.", text=_cell)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)
