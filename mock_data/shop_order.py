"""Places one order in the shop's database, as a customer would: the order and its line, committed together, now."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import typer

from c360.engines.postgres import connect
from c360.errors import C360Error, EngineError
from c360.settings import Settings
from mock_data.shop_changes import Change
from mock_data.shop_database import statement


@dataclass(frozen=True)
class Placed:
    """An order that was committed: when it was placed, and when the database had confirmed it."""

    order_id: str
    customer_id: str
    product_id: str
    amount: Decimal
    ordered_at: datetime
    committed_at: datetime


def place_order(
    settings: Settings, customer_id: str, amount: Decimal = Decimal("25.00"), product_id: str | None = None
) -> Placed:
    """Place an order of one unit of a product, any if none is named, for that amount.

    Raises:
        C360Error: the shop has no product or customer to order with; EngineError: the database does not answer.
    """
    import psycopg2

    try:
        with contextlib.closing(connect(settings)) as session:
            with session, session.cursor() as cursor:
                cursor.execute(
                    "SELECT c.location_id, p.product_id FROM customers c, products p WHERE c.customer_id = %s"
                    " AND p.product_id = coalesce(%s, p.product_id) ORDER BY p.product_id LIMIT 1",
                    (customer_id, product_id),
                )
                found = cursor.fetchone()
                if found is None:
                    raise C360Error(
                        f"The shop has no customer {customer_id}, or no such product",
                        "load a company first: python -m mock_data.shop --load",
                    )
                now = datetime.now(UTC)
                order_id = f"D{now:%Y%m%d%H%M%S%f}"
                for change in _changes(order_id, customer_id, str(found[1]), found[0], amount, now):
                    cursor.execute(*statement(change))
            return Placed(order_id, customer_id, str(found[1]), amount, now, datetime.now(UTC))
    except psycopg2.Error as error:
        raise EngineError(
            f"The shop's database did not take the order ({str(error).strip()})", "start it with `c360 up cdc`"
        ) from error


def _changes(
    order: str, customer: str, product: str, location: str | None, amount: Decimal, now: datetime
) -> tuple[Change, Change]:
    head = {
        "order_id": order, "customer_id": customer, "ordered_at": now, "status": "placed", "channel": "web",
        "location_id": location, "currency": "USD", "shipping_amount": Decimal("0.00"), "updated_at": now,
        "total_amount": amount,
    }  # fmt: skip
    line = {
        "order_item_id": f"{order}-1", "order_id": order, "line_number": 1, "product_id": product, "quantity": 1,
        "unit_price": amount, "discount_amount": Decimal("0.00"), "returned_quantity": 0, "updated_at": now,
    }  # fmt: skip
    return Change("orders", "c", None, head), Change("order_items", "c", None, line)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    customer: Annotated[str, typer.Argument(help="Who orders.")],
    amount: Annotated[str, typer.Option(help="What the order comes to.")] = "25.00",
    product: Annotated[str | None, typer.Option(help="What is ordered; default: the shop's first product.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the order as JSON.")] = False,
) -> None:
    """Place one order in the shop's database, now."""
    try:
        placed = place_order(Settings(), customer, Decimal(amount), product)
    except C360Error as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({name: str(value) for name, value in vars(placed).items()}))
    else:
        typer.echo(f"{placed.order_id}: {placed.customer_id} ordered {placed.product_id} for {placed.amount}")


if __name__ == "__main__":
    app(prog_name="python -m mock_data.shop_order")
