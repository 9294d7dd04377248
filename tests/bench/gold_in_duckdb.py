"""The same gold in DuckDB: the tests' oracle, over the silver tables' own Parquet files, to Parquet files.

Without alerts and inventory, which the oracle tells in plain Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.oracle import customer_360, dimensions, facts, marts
from tests.oracle.gold import KEYS as GOLD_KEYS
from tests.oracle.silver import KEYS, SCHEMAS, VERSIONED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path


def build(files: Mapping[str, Sequence[str]], out: Path, as_of: datetime, threads: int) -> None:
    """Write every table below ``out``; ``files`` are the data files of each silver table."""
    import duckdb
    import pyarrow as pa

    out.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"threads": threads}) as connection:
        for entity, schema in SCHEMAS.items():
            moments = {f.name for f in schema if pa.types.is_timestamp(f.type)}
            columns = ", ".join(f"make_timestamp(epoch_us({n})) AS {n}" if n in moments else n for n in schema.names)
            connection.execute(f"CREATE VIEW {entity} AS SELECT {columns} FROM read_parquet({list(files[entity])})")
        for entity in (*VERSIONED, "transactions"):
            key, version = KEYS[entity]
            connection.execute(
                f"CREATE TABLE latest_{entity} AS SELECT * FROM {entity} "
                f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {version} DESC) = 1"
            )
        moment = as_of.replace(tzinfo=None).isoformat(sep=" ")
        connection.execute(f"SET VARIABLE as_of = TIMESTAMP '{moment}'")
        modules = (
            dimensions.MACROS,
            dimensions.STATEMENTS,
            facts.STATEMENTS,
            marts.STATEMENTS,
            customer_360.STATEMENTS,
        )
        for statement in (one for statements in modules for one in statements):
            connection.execute(statement)
        made = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
        for name in GOLD_KEYS.keys() & made:
            connection.execute(f"COPY {name} TO '{out / name}.parquet' (FORMAT parquet)")
