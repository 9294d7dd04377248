"""Assets as Dagster runs them, with a fault: what the tests beside this call, in their own process or in one that dies.

``python -m tests.integration.asset_faults HOME DAY METHOD ASSET…`` materialises assets and prints as JSON what their
failures said. The process kills itself when an asset reaches METHOD of its staged write (``-`` for none).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from c360.contracts import get_contract
from c360.lakehouse import Lakehouse, Staged
from c360.settings import Settings
from c360_assets.factory import bronze_asset, gold_asset, silver_asset
from c360_assets.resources.lake import LakehouseResource
from c360_assets.resources.spark import SparkResource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CHAIN = ("bronze.customers", "silver.customers", "gold.dim_customer")
HEADER = (
    "customer_id,first_name,last_name,email,phone,birth_date,location_id,language,loyalty_tier,acquisition_channel,"
    "registered_at,updated_at\n"
)


def customer(number: int, day: str, name: str = "Ann") -> str:
    return (
        f"C{number},{name},Lee,c{number}@example.com,,1990-05-01,L1,en,gold,search,2024-01-01T00:00:00Z,{day}T10:00:00Z"
    )


def land(home: Path, day: str, *lines: str) -> None:
    folder = home / "landing" / "crm" / "customers" / day
    folder.mkdir(parents=True)
    (folder / "customers.csv").write_text(HEADER + "".join(f"{line}\n" for line in lines))


class OwnCatalog(SparkResource):
    """Sessions of a shared Spark server that see the catalog of ``home`` instead of the server's own."""

    home: str

    @contextmanager
    def session(self) -> Iterator[SparkSession]:
        from c360.engines.spark_conf import spark_conf

        with super().session() as spark:
            for key, value in spark_conf(Settings(home=Path(self.home))).items():
                if key.startswith("spark.sql.catalog."):
                    spark.conf.set(key, value)
            yield spark


class Impatient(LakehouseResource):
    """Waits for other writers for a second, not for a minute."""

    def open(self) -> Lakehouse:
        return Lakehouse(self.settings(), lock_timeout_s=1.0)


def materialize(
    home: Path, name: str, day: str, lakehouse: LakehouseResource | None = None, *, full_refresh: bool = False
) -> Any:
    """Run one asset; nothing is raised. Spark is the one of this process's settings."""
    layer = get_contract(name).layer
    make = {"bronze": bronze_asset, "silver": silver_asset, "gold": gold_asset}[layer]
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [make(name)],
            instance=instance,
            partition_key=day if layer == "bronze" else None,
            resources={
                "lakehouse": lakehouse or LakehouseResource(home=str(home)),
                "spark": OwnCatalog(home=str(home), remote=os.environ.get("C360_SPARK_REMOTE")),
            },
            run_config={"ops": {name.replace(".", "__"): {"config": {"full_refresh": True}}}} if full_refresh else None,
            raise_on_error=False,
        )


def said(result: Any) -> dict[str, str]:
    """The failure of a run as Dagster shows it: its description, and its mend from the metadata."""
    for event in result.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is None:
            return {"traceback": event.step_failure_data.error.to_string()}
        return {"problem": failure.description or "", "mend": str(failure.metadata["mend"].value)}
    return {}


def die_at(method: str) -> None:
    def die(self: Staged, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Staged, method, die)


def main(home: str, day: str, method: str, *names: str) -> None:
    if method != "-":
        die_at(method)
    print(json.dumps([said(materialize(Path(home), name, day)) for name in names]))


if __name__ == "__main__":
    main(*sys.argv[1:])
