"""Bronze rows through a silver contract: the pure function that decides what becomes of every record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from c360.conform.check import REASONS, Checked, check
from c360.conform.deduplicate import KEPT, deduplicate
from c360.conform.outcome import (
    DEDUPLICATED,
    POSITION,
    REJECTED,
    Existing,
    Outcome,
    accepted_schema,
    key_text,
)
from c360.contracts import get_contract, to_arrow
from c360.errors import C360Error, ContractError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.contracts.model import Column, Contract

_ROW = ":row"
_SMALL = 10_000  # rows below which threads cost more than they gain
_CONFLICT = "conflicting_duplicate"


def conform(
    raw: pa.Table | pl.DataFrame, contract: Contract, existing: Existing | None = None, *, explain: bool = False
) -> Outcome:
    """Decide for every bronze row: accepted, deduplicated or rejected with its first failing reason.

    ``raw`` are bronze rows: text columns, ``_error``, ``_raw``, ``_source_file``, ``_source_row`` and ``_batch_date``,
    with or without ``_extra`` and ``_ingested_at``. ``existing`` are the silver rows of the keys concerned. Precedence
    among rows of one key: those already in silver, then by ingestion time, file and row. With ``explain``, repaired
    values are counted too.

    Raises ContractError when the contract does not fit the rows, C360Error when a position comes twice.
    """
    frame = pl.DataFrame(raw) if isinstance(raw, pa.Table) else raw
    columns = [c for c in contract.columns if not c.name.startswith("_")]
    _require(frame, columns, contract)
    frame = _in_order(frame).with_row_index(_ROW)

    readable = frame.get_column("_error").is_null()
    rows = frame if readable.all() else frame.filter(readable)
    checked = _check_all(rows, columns)
    values = rows.select(_ROW, *POSITION, "_batch_date").with_columns(c.values for c in checked)
    failed = _first_failure(checked)
    fates = deduplicate(
        values if failed is None else values.filter(failed.is_null()),
        _existing(existing, values),
        contract.primary_key,
        [c.name for c in columns if c.name not in contract.primary_key],
    )
    refused = [_unreadable(frame.filter(~readable)), _conflicts(fates.conflicting, rows, columns, contract)]
    if failed is not None:
        refused.append(_failures(rows, values, checked, failed, columns, contract))
    rejected = pl.concat(refused).sort(_ROW)
    _balance(frame.height, [fates.first, fates.equal, fates.skipped, rejected])
    return Outcome(
        accepted=_table(fates.first, accepted_schema(contract)),
        deduplicated=_deduplicated(fates.equal.sort(_ROW), contract),
        rejected=_stamped(rejected, contract, REJECTED),
        received=frame.height,
        skipped=fates.skipped.height,
        repaired=_repaired(rows, checked, columns, fates.first.get_column(_ROW)) if explain else {},
    )


def _require(frame: pl.DataFrame, columns: Sequence[Column], contract: Contract) -> None:
    wanted = [c.source or c.name for c in columns] + ["_error", "_raw", *POSITION, "_batch_date"]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ContractError(
            f"{contract.name} reads the column '{missing[0]}', which its source does not have",
            "name the source column in the contract, or rebuild the source table",
        )


def _check_all(rows: pl.DataFrame, columns: Sequence[Column]) -> list[Checked]:
    received = [rows.get_column(column.source or column.name) for column in columns]
    if rows.height < _SMALL:
        return list(map(check, received, columns))
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(check, received, columns))


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows by ingestion, file and row; refuses a position that comes twice."""
    file, row = frame.get_column(POSITION[0]), frame.get_column(POSITION[1])
    rising = (file > file.shift(1)) | ((file == file.shift(1)) & (row > row.shift(1)))
    if not rising.slice(1).all() and frame.select(pl.struct(POSITION).is_duplicated().any()).item():
        raise C360Error("A bronze record was given twice", "read every bronze row once (file and row identify it)")
    ingested = ["_ingested_at"] if "_ingested_at" in frame.columns else []
    stamps = frame.get_column("_ingested_at") if ingested else None
    if rising.slice(1).all() and (stamps is None or stamps.is_sorted()):
        return frame
    return frame.sort([*ingested, *POSITION])


def _first_failure(checked: Sequence[Checked]) -> pl.Series | None:
    """For each row ``10 * column + reason`` of its first failure, null if it has none; None if no row fails."""
    failing = [(i, c.reasons) for i, c in enumerate(checked) if c.reasons is not None]
    if not failing:
        return None
    codes = [pl.when(reasons > 0).then(reasons.cast(pl.UInt32) + 10 * i) for i, reasons in failing]
    return pl.select(pl.coalesce(codes)).to_series()


def _existing(existing: Existing | None, values: pl.DataFrame) -> pl.DataFrame | None:
    if existing is None or existing.rows is None or not existing.rows.num_rows:
        return None
    frame = pl.DataFrame(existing.rows)
    types = {name: dtype for name, dtype in values.schema.items() if name != _ROW}
    return frame.select(pl.col(name).cast(dtype) for name, dtype in types.items())


def _failures(
    rows: pl.DataFrame,
    values: pl.DataFrame,
    checked: Sequence[Checked],
    failed: pl.Series,
    columns: Sequence[Column],
    contract: Contract,
) -> pl.DataFrame:
    at = failed.is_not_null()
    codes, bad, typed = failed.filter(at), rows.filter(at), values.filter(at)
    texts = {c.text.name: c.text.filter(at) for c in checked if c.text.name in contract.primary_key}
    column, reason = codes // 10, codes % 10
    sources = [c.source or c.name for c in columns]
    offending: pl.Expr = pl.lit(None, pl.String)
    for index in column.unique():
        offending = pl.when(column == index).then(pl.col(sources[index])).otherwise(offending)
    keys = pl.DataFrame([key_text(typed, [n]).alias(n).zip_with(typed[n].is_not_null(), texts[n]) for n in texts])
    keyed = keys.select(
        pl.when(~pl.all_horizontal(pl.all().is_null())).then(pl.concat_str(pl.all().fill_null(""), separator="|"))
    )
    return bad.select(
        _ROW,
        *POSITION,
        pl.lit(reason.replace_strict(dict(enumerate(REASONS)), return_dtype=pl.String)).alias("reason"),
        pl.lit(column.replace_strict(dict(enumerate(c.name for c in columns)), return_dtype=pl.String)).alias(
            "column_name"
        ),
        offending.alias("value"),
        _record(bad, sources).alias("record"),
        keyed.to_series().alias("record_key"),
        "_batch_date",
    )


def _conflicts(
    conflicting: pl.DataFrame, rows: pl.DataFrame, columns: Sequence[Column], contract: Contract
) -> pl.DataFrame:
    keyed = conflicting.select(_ROW, key_text(conflicting, contract.primary_key))
    bad = keyed.join(rows, on=_ROW, how="left", maintain_order="left")
    return bad.select(
        _ROW,
        *POSITION,
        pl.lit(_CONFLICT).alias("reason"),
        pl.lit(None, pl.String).alias("column_name"),
        pl.lit(None, pl.String).alias("value"),
        _record(bad, [c.source or c.name for c in columns]).alias("record"),
        "record_key",
        "_batch_date",
    )


def _unreadable(bad: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.lit(None, pl.String)
    return bad.select(
        _ROW,
        *POSITION,
        pl.col("_error").alias("reason"),
        nothing.alias("column_name"),
        nothing.alias("value"),
        pl.col("_raw").alias("record"),
        nothing.alias("record_key"),
        "_batch_date",
    )


def _record(bad: pl.DataFrame, sources: Sequence[str]) -> pl.Series:
    """The received columns as one JSON object, undeclared ones under ``_extra`` if any row has them."""
    names = list(dict.fromkeys(sources))
    if "_extra" in bad.columns and bad.get_column("_extra").null_count() < bad.height:
        names.append("_extra")
    return bad.select(pl.struct(names).struct.json_encode()).to_series()


def _deduplicated(equal: pl.DataFrame, contract: Contract) -> pa.Table:
    keyed = equal.with_columns(key_text(equal, contract.primary_key))
    return _stamped(keyed.select(_ROW, *POSITION, "record_key", *KEPT, "_batch_date"), contract, DEDUPLICATED)


def _stamped(frame: pl.DataFrame, contract: Contract, table: str) -> pa.Table:
    named = frame.rename({"_source_file": "source_file", "_source_row": "source_row", "_batch_date": "batch_date"})
    stamps = (pl.lit(contract.name).alias("source_table"), pl.lit(contract.version).alias("contract_version"))
    return _table(named.with_columns(stamps), to_arrow(get_contract(table)))


def _table(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return frame.select(schema.names).to_arrow().cast(schema)


def _repaired(
    rows: pl.DataFrame, checked: Sequence[Checked], columns: Sequence[Column], accepted: pl.Series
) -> dict[str, int]:
    kept = rows.get_column(_ROW).is_in(accepted.implode())
    counts = {}
    for column, result in zip(columns, checked, strict=True):
        received = rows.get_column(column.source or column.name)
        changed = (received.str.len_bytes() > 0) & received.ne_missing(result.text) & kept
        if count := changed.sum():
            counts[column.name] = int(count)
    return counts


def _balance(received: int, fates: Sequence[pl.DataFrame]) -> None:
    """Every received row has exactly one fate: counted by row, not in total."""
    places = pl.concat([fate.get_column(_ROW) for fate in fates])
    if places.len() != received or places.n_unique() != received:
        raise C360Error(
            f"{received} records were received but {places.len()} accounted for", "report this: no data was written"
        )
