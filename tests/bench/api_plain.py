"""What a service of an afternoon would be: FastAPI, pydantic and SQLite, without security, audit, log or past.

``python -m tests.bench.api_plain FILE PORT``
"""

import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, create_model

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    import pyarrow as pa


class Ids(BaseModel):
    """The customers of a batch."""

    ids: list[str]


def flat(customers: "pa.Table") -> "pl.DataFrame":
    """The rows in the types that JSON has; times and decimals as text."""
    import polars as pl

    from c360.serving.documents import plain

    rows = pl.DataFrame(pl.from_arrow(customers))
    return rows.select(plain(rows, rows.columns))


def fill(path: "Path", customers: "pa.Table") -> None:
    """The same rows in a table of one column each."""
    rows = flat(customers)
    with sqlite3.connect(path) as db:
        names = ", ".join(f"{name} {'PRIMARY KEY' if name == 'customer_id' else ''}" for name in rows.columns)
        db.execute(f"CREATE TABLE customer ({names}) WITHOUT ROWID")
        db.executemany(f"INSERT INTO customer VALUES ({', '.join('?' * rows.width)})", rows.iter_rows())


def serve(path: str, port: int) -> None:
    """Answer until ended."""
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    columns = [row[1] for row in db.execute("PRAGMA table_info(customer)")]
    fields: dict[str, Any] = dict.fromkeys(columns, (int | float | str | None, None))
    customer: type[BaseModel] = create_model("Customer", **fields)
    app = FastAPI()

    @app.get("/customers/{customer_id}", response_model=customer)
    async def read(customer_id: str) -> BaseModel:
        row = db.execute("SELECT * FROM customer WHERE customer_id = ?", (customer_id,)).fetchone()
        if row is None:
            raise HTTPException(404)
        return customer(**dict(row))

    @app.post("/customers/batch", response_model=list[customer])  # type: ignore[valid-type]
    async def batch(asked: Ids) -> list[BaseModel]:
        marks = ", ".join("?" * len(asked.ids))
        return [
            customer(**dict(row))
            for row in db.execute(f"SELECT * FROM customer WHERE customer_id IN ({marks})", asked.ids)
        ]

    uvicorn.run(app, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
