"""Feast's side of the measurement: run by Feast's own interpreter, so nothing of this project is imported.

``python feast_store.py fill FOLDER ROWS`` defines one feature view over all columns of the Arrow file ROWS (its first
column is the entity) and writes its rows into the online store that ``FOLDER/feature_store.yaml`` names;
``python feast_store.py read FOLDER SECONDS BATCH`` reads customers through the SDK, and prints CPU µs for each call.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PART = 10_000
ENTITY, VIEW, SERVICE, AT = "customer_id", "customer", "customer", "event_timestamp"


def fill(folder: Path, rows: Path) -> dict[str, float]:
    """Define and write; seconds by the clock and by the CPU."""
    feast, pa = _feast(), importlib.import_module("pyarrow")
    types = {pa.string(): "String", pa.large_string(): "String", pa.bool_(): "Bool", pa.int32(): "Int32"}
    types |= {pa.int64(): "Int64", pa.float64(): "Float64"}
    with pa.memory_map(str(rows)) as source:
        table = pa.ipc.open_file(source).read_all()
    of = importlib.import_module("feast.types")
    fields = [feast.Field(name=f.name, dtype=getattr(of, types[f.type])) for f in table.schema if f.name != ENTITY]
    entity = feast.Entity(name=VIEW, join_keys=[ENTITY], value_type=feast.ValueType.STRING)
    # Only rows that are written by hand are served; the source is what a view must have.
    source = feast.FileSource(path=str(folder / "none.parquet"), timestamp_field=AT)
    view = feast.FeatureView(name=VIEW, entities=[entity], ttl=None, schema=fields, source=source, online=True)
    store = feast.FeatureStore(repo_path=str(folder))
    parquet = importlib.import_module("pyarrow.parquet")
    now = datetime.now(UTC)
    stamp = pa.array([now], pa.timestamp("us", "UTC"))
    parquet.write_table(table.slice(0, 1).append_column(AT, stamp), folder / "none.parquet")
    store.apply([entity, view, feast.FeatureService(name=SERVICE, features=[view])])
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, table.num_rows, PART):
        part = table.slice(start, PART)
        stamps = pa.array([now] * part.num_rows, pa.timestamp("us", "UTC"))
        store.write_to_online_store(VIEW, df=part.append_column(AT, stamps).to_pandas())
    return {"seconds": round(time.perf_counter() - began, 1), "cpu_s": round(time.process_time() - cpu, 1)}


def read(folder: Path, seconds: float, batch: int, customers: int) -> dict[str, float]:
    """Read ``batch`` customers at a time."""
    store, of = _feast().FeatureStore(repo_path=str(folder)), random.Random(1)
    service = store.get_feature_service(SERVICE)

    def once() -> None:
        rows = [{ENTITY: f"C{of.randrange(customers):07}"} for _ in range(batch)]
        store.get_online_features(service, rows).to_dict()

    once()
    calls, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        once()
        calls += 1
    used = time.process_time() - cpu
    return {"calls": calls, "cpu_us": round(used / calls * 1e6, 1)}


def _feast() -> Any:
    return importlib.import_module("feast")


if __name__ == "__main__":
    what, where, *more = sys.argv[1:]
    if what == "fill":
        figures = fill(Path(where), Path(more[0]))
    else:
        figures = read(Path(where), float(more[0]), int(more[1]), int(more[2]))
    print(json.dumps(figures), flush=True)
