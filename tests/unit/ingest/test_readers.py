from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from c360.contracts import get_contract, load_contracts, to_arrow
from c360.errors import LandingError
from c360.ingest import bronze
from c360.ingest.readers import read_landing_file, required_columns, source_columns
from tests.unit.ingest.support import contract

if TYPE_CHECKING:
    from pathlib import Path

BRONZE = [c for c in load_contracts().values() if c.layer == "bronze"]


@pytest.mark.parametrize("one", BRONZE, ids=lambda c: c.name)
def test_bronze_schema_is_the_contracts(one) -> None:  # type: ignore[no-untyped-def]
    declared = to_arrow(one)
    produced = bronze.schema(one)
    assert produced.names == declared.names
    assert produced.types == declared.types


def test_columns_that_silver_requires_are_required_of_the_file(tmp_path: Path) -> None:
    orders = get_contract("bronze.orders")
    assert required_columns(orders) == {"order_id", "customer_id", "ordered_at", "status", "currency", "updated_at"}
    path = tmp_path / "a.csv"
    path.write_text("order_id,customer_id,ordered_at,status,currency,updated_at\no,c,t,s,USD,u\n")
    table = read_landing_file(path, "shop/orders/2025-01-01/a.csv", orders, date(2025, 1, 1))
    assert table.column("channel").to_pylist() == [None]
    path.write_text("order_id,customer_id,ordered_at,status,updated_at\no,c,t,s,u\n")
    with pytest.raises(LandingError, match="lacks the required column 'currency'"):
        read_landing_file(path, "shop/orders/2025-01-01/a.csv", orders, date(2025, 1, 1))


def test_without_a_silver_contract_every_column_is_required() -> None:
    assert required_columns(contract("a", "b")) == {"a", "b"}
    assert source_columns(contract("a", "b")) == ("a", "b")


def test_a_file_that_vanished_is_a_landing_error(tmp_path: Path) -> None:
    with pytest.raises(LandingError, match="cannot be read"):
        read_landing_file(tmp_path / "gone.csv", "s/e/2025-01-01/gone.csv", contract("a"), date(2025, 1, 1))
