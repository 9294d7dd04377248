"""What the oracle does not see: refusals of the whole call, records for replay, the summary, large inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from c360.conform import Existing, conform
from c360.conform.standardise import TRANSFORMS
from c360.contracts import get_contract, load_contracts, to_arrow
from c360.contracts.model import Column, Contract
from c360.contracts.vocabulary import STANDARDISE
from c360.errors import C360Error, ContractError

SILVER = [c for c in load_contracts().values() if c.layer == "silver" and len(c.upstream) == 1]
CONTRACT = Contract(
    name="silver.things",
    layer="silver",
    table="things",
    version="2.0.0",
    domain="d",
    owner="o",
    description="",
    columns=(
        Column("id", "string", required=True, standardise=("trim",)),
        Column("name", "string", standardise=("trim", "lower")),
        Column("n", "long"),
    ),
    primary_key=("id",),
)


def raw(*rows: dict[str, Any], **extra: pa.DataType) -> pa.Table:
    schema = pa.schema(
        [(name, pa.string()) for name in ("id", "name", "n", "_raw", "_extra", "_error", "_source_file")]
        + [("_source_row", pa.int64()), ("_batch_date", pa.date32()), *extra.items()]
    )
    base = {"_source_file": "f", "_batch_date": date(2025, 1, 1)}
    return pa.Table.from_pylist([base | {"_source_row": i} | row for i, row in enumerate(rows, 1)], schema)


@pytest.mark.parametrize("contract", SILVER, ids=lambda c: c.name)
def test_outcome_tables_have_the_contracts_schemas(contract: Contract) -> None:
    bronze = get_contract(contract.upstream[0])
    empty = to_arrow(bronze).empty_table()
    outcome = conform(empty, contract)
    assert outcome.accepted.schema == to_arrow(contract)
    assert outcome.rejected.schema == to_arrow(get_contract("silver.rejected"))
    assert outcome.deduplicated.schema == to_arrow(get_contract("silver.deduplicated"))


def test_every_transform_of_the_vocabulary_exists() -> None:
    assert set(TRANSFORMS) == set(STANDARDISE)


def test_ingestion_time_precedes_the_name_of_the_file() -> None:
    first, later = datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC)
    rows = [
        {"id": "a", "n": "2", "_source_file": "a", "_ingested_at": later},
        {"id": "a", "n": "1", "_source_file": "b", "_ingested_at": first},
    ]
    outcome = conform(raw(*rows, _ingested_at=pa.timestamp("us", tz="UTC")), CONTRACT)
    assert outcome.accepted.column("n").to_pylist() == [1]
    assert outcome.rejected.column("source_file").to_pylist() == ["a"]


def test_a_rejected_row_holds_all_that_a_replay_needs() -> None:
    outcome = conform(raw({"id": " k ", "name": "é", "n": "x", "_extra": '{"z":"1"}'}), CONTRACT)
    [row] = outcome.rejected.to_pylist()
    assert json.loads(row.pop("record")) == {"id": " k ", "name": "é", "n": "x", "_extra": '{"z":"1"}'}
    assert row == {
        "source_table": "silver.things",
        "source_file": "f",
        "source_row": 1,
        "reason": "bad_type",
        "column_name": "n",
        "value": "x",
        "record_key": "k",
        "contract_version": "2.0.0",
        "batch_date": date(2025, 1, 1),
    }


def test_summary_counts_reasons_columns_and_repairs() -> None:
    rows = [{"id": "a", "name": " X "}, {"id": "b", "name": "y"}, {"id": " c", "name": ""}, {"id": "d", "n": "x"}]
    table = raw(*rows, {"id": "a", "name": "x"}, {"_error": "malformed_record", "_raw": "?"})
    summary = conform(table, CONTRACT, explain=True).summary()
    assert (summary.received, summary.accepted, summary.deduplicated, summary.skipped) == (6, 3, 1, 0)
    assert summary.rejected == {"bad_type": 1, "malformed_record": 1}
    assert summary.rejected_columns == {("bad_type", "n"): 1}
    assert summary.repaired == {"id": 1, "name": 1}
    assert conform(table, CONTRACT).summary().repaired == {}


def test_a_record_given_twice_is_refused() -> None:
    with pytest.raises(C360Error, match="given twice"):
        conform(raw({"id": "a", "_source_row": 1}, {"id": "b", "_source_row": 1}), CONTRACT)
    rows = [{"id": "a", "_source_row": 1}, {"id": "b", "_source_row": 2}, {"id": "c", "_source_row": 1}]
    with pytest.raises(C360Error, match="given twice"):
        conform(raw(*rows), CONTRACT)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("n", "number"), "unknown type 'number'"),
        (Column("n", "string", standardise=("tidy",)), "unknown transform 'tidy'"),
        (Column("n", "long", minimum="one"), "bound 'one' is no long"),
        (Column("n", "string", pattern="(?=x)"), "pattern that cannot be compiled"),
        (Column("m", "long"), "reads the column 'm'"),
    ],
)
def test_a_contract_that_cannot_be_applied_is_refused(column: Column, words: str) -> None:
    contract = replace(CONTRACT, columns=(*CONTRACT.columns[:2], column))
    with pytest.raises(ContractError, match=words.replace("'", ".")):
        conform(raw({"id": "a", "n": "1"}), contract)


def test_existing_rows_of_other_keys_do_no_harm() -> None:
    before = conform(raw({"id": "a"}, {"id": "b"}), CONTRACT).accepted
    outcome = conform(raw({"id": "c", "_source_row": 9}), CONTRACT, Existing(before))
    assert outcome.accepted.column("id").to_pylist() == ["c"]
    assert conform(raw({"id": "c"}), CONTRACT, Existing(before.slice(0, 0))).accepted.num_rows == 1


def test_many_rows_take_the_parallel_path_to_the_same_end() -> None:
    rows = [{"id": str(i % 11_000), "name": f" N{i % 7} ", "n": str(i) if i % 3 else "x"} for i in range(12_000)]
    outcome = conform(raw(*rows), CONTRACT)
    seen: dict[str, tuple[str, str]] = {}
    fates = {"accepted": 0, "conflict": 0, "bad": 0}
    for row in rows:
        if row["n"] == "x":
            fates["bad"] += 1
        elif seen.setdefault(row["id"], (row["name"], row["n"])) == (row["name"], row["n"]):
            fates["accepted"] += 1
        else:
            fates["conflict"] += 1
    assert outcome.accepted.num_rows == fates["accepted"]
    assert outcome.summary().rejected == {"bad_type": fates["bad"], "conflicting_duplicate": fates["conflict"]}
