"""What security costs a request, in microseconds, step by step; one process, one thread.

``python -m tests.bench.bench_security``
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from rich.console import Console
from rich.table import Table

from api.security.audit import Access, AuditLog
from api.security.keys import KeyStore
from api.security.limits import RateLimit
from api.security.policy import Policy
from api.security.principal import Principal, Role
from api.security.settings import SecuritySettings
from api.security.tokens import TokenVerifier
from c360.contracts.loader import get_contract
from c360.privacy.keyed import Tokens, lookup_hasher
from c360.privacy.masking import masked_sql, row_presenter

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"a key of this benchmark"
ROUNDS = 7


def micros(run: Callable[[], object], times: int) -> float:
    """Median of several rounds, in microseconds a call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            run()
        rounds.append((time.perf_counter() - start) / times * 1e6)
    return statistics.median(rounds)


def tokens(folder: Path) -> dict[str, float]:
    keys: dict[str, tuple[Any, Any]] = {
        "RS256": (rsa.generate_private_key(public_exponent=65537, key_size=2048), RSAAlgorithm),
        "EdDSA": (Ed25519PrivateKey.generate(), OKPAlgorithm),
    }
    published = [{**json.loads(kind.to_jwk(key.public_key())), "kid": name} for name, (key, kind) in keys.items()]
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": published}))
    settings = SecuritySettings(jwt_jwks=str(path), jwt_issuer="i", jwt_audience="a")
    now = int(time.time())
    claims = {
        "iss": "i",
        "aud": "a",
        "sub": "anna",
        "iat": now,
        "exp": now + 3600,
        "roles": ["support"],
        "regions": ["DE"],
    }
    found = {}
    for name, (key, _) in keys.items():
        token = jwt.encode(claims, key, name, headers={"kid": name})
        forgetful = TokenVerifier(settings.model_copy(update={"jwt_cached": 0}))
        found[f"token, {name}, first time"] = micros(lambda t=token, v=forgetful: v.verify(t), 500)  # type: ignore[misc]
    verifier = TokenVerifier(settings)
    verifier.verify(token)
    found["token, again"] = micros(lambda: verifier.known(token), 50_000)
    return found


def decisions() -> dict[str, float]:
    start = time.perf_counter()
    policy = Policy()
    loaded = (time.perf_counter() - start) * 1e6
    who = Principal("anna", "user", frozenset({Role.MARKETING}), frozenset({"DE", "FR"}), frozenset({"marketing"}))
    start = time.perf_counter()
    decision = policy.decide(who, "customer:read")
    first = (time.perf_counter() - start) * 1e6
    contract, tokens = get_contract("gold.customer_360"), Tokens(KEY)
    row: dict[str, object] = {
        c.name: date(1987, 3, 14) if c.type == "date" else f"{c.name} 123456" for c in contract.columns
    }
    row |= {"country_code": "DE", "consent_marketing_email": True, "email": "zoe@example.com"}
    service = Principal("bot", "service", frozenset({Role.SERVICE}), None, scopes=frozenset({"customer:read"}))
    view = policy.decide(service, "customer:read").always
    show = row_presenter(contract.columns, view.presentations, view.column_overrides, tokens)
    return {
        "policy, loading": loaded,
        "decision, first time": first,
        "decision, again": micros(lambda: policy.decide(who, "customer:read"), 100_000),
        "view of a customer": micros(lambda: decision.view_of(row), 100_000),
        f"row of {len(row)} columns, {sum(c.classification != 'none' for c in contract.columns)} masked": micros(
            lambda: show(row), 10_000
        ),
    }


def keys(folder: Path) -> dict[str, float]:
    store = KeyStore(folder / "api" / "keys.db")
    key = store.create("bench", [Role.SUPPORT])
    return {"API key": micros(lambda: store.check(key), 50_000)}


def audit(folder: Path) -> dict[str, float]:
    who = Principal("anna", "user", frozenset({Role.SUPPORT}), None, key_id="k")
    one = Access("r-1", who, "customer:read", "customer", "permitted", ("C0000001",), "direct=clear", client="10.0.0.7")
    many = Access("r-1", who, "customer:batch", "customer", "permitted", tuple(f"C{n:07}" for n in range(100)))
    log = AuditLog(folder / "audit", KEY)
    found = {
        "audit record": micros(lambda: log.write(one), 10_000),
        "audit record of 100 customers": micros(lambda: log.write(many), 2_000),
    }
    log.close()
    synced = AuditLog(folder / "audit", KEY, fsync="always")
    found["audit record, fsync always"] = micros(lambda: synced.write(one), 50)
    synced.close()
    return found


def bulk() -> dict[str, float]:
    contract = get_contract("gold.customer_360")
    masked = [c for c in contract.columns if c.classification != "none"]
    with duckdb.connect() as connection:
        connection.sql("SET threads = 1")
        made = {c.name: f"'{c.name}' || i" for c in masked} | {
            "email": "'person' || i || '@mail.example.com'",
            "phone": "'+49301' || i",
            "birth_date": "DATE '1950-01-01' + (i % 20000)::INT",
            "postal_code": "'1' || i",
        }
        values = ", ".join(f"{value} AS {name}" for name, value in made.items())
        connection.sql(f"CREATE TABLE c AS SELECT {values} FROM range(1000000) t(i)")
        start = time.perf_counter()
        connection.sql(
            "CREATE TABLE m AS SELECT " + ", ".join(f"{masked_sql(c)} AS {c.name}" for c in masked) + " FROM c"
        )
        seconds = time.perf_counter() - start
    lookup = lookup_hasher("email", KEY)
    return {
        f"masks of {len(masked)} columns in bulk, a customer": seconds,
        "look-up hash": micros(lambda: lookup("zoe@example.com"), 100_000),
    }


def main() -> None:
    limit = RateLimit(1e9, 1_000_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = tokens(folder) | keys(folder) | decisions() | audit(folder) | bulk()
    found["rate limit"] = micros(lambda: limit.take("anna"), 100_000)
    table = Table("step", "µs", box=None)
    for step, cost in found.items():
        table.add_row(step, f"{cost:,.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
