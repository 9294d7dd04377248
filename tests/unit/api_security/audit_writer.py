"""A process that writes the audit log until it is told, killed or refused: ``audit_writer <folder> <count>``."""

from __future__ import annotations

import sys
from pathlib import Path

from api.security.audit import Access, AuditLog
from api.security.errors import AuditError
from api.security.principal import Principal, Role

KEY = b"the key of this test"
ANNA = Principal("anna", "user", frozenset({Role.SUPPORT}), None, key_id="k1")


def access(n: int, **changes: object) -> Access:
    fields = {"request_id": f"r{n}", "principal": ANNA, "action": "customer:read", "resource": "customer"}
    whole = {"outcome": "permitted", "subjects": (f"C{n}",), "view": "direct=clear", "client": "10.0.0.7"}
    return Access(**{**fields, **whole, **changes})  # type: ignore[arg-type]


def main(folder: str, count: int) -> None:
    log = AuditLog(Path(folder), KEY)
    refused = 0
    for n in range(count):
        try:
            log.write(access(n))
        except AuditError as error:
            refused += 1
            if refused == 1:
                print(error, flush=True)
        else:
            print(f"answered r{n}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
