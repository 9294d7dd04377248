"""Dead letters published again: a run with the mended file, or with the choice of letters to publish as they are."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from c360.contracts import get_contract
from c360.errors import C360Error, StreamError
from c360_assets.factory import Decorator, failure
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_arguments, asset_key

REPLAYED = "silver.replayed_letters"
SHOWN = 50


class Replay(dg.Config):
    """What to publish: ``file``, as `c360 dlq export` wrote it and a person mended it; or letters by the other words.

    ``since`` and ``until`` are moments of arrival: a date (its midnight in UTC) or ISO 8601 with a zone.
    """

    file: str = ""
    topic: str = ""
    reason: str = ""
    since: str = ""
    until: str = ""


def _decorator() -> Decorator:
    contract = get_contract(REPLAYED)
    # Not in the group of its layer: jobs that build whole layers have nothing to say which letters.
    arguments = {**asset_arguments(contract), "group_name": "streams", "kinds": {"iceberg", "kafka", "python"}}
    decorate: Decorator = dg.asset(**arguments, deps=[asset_key(upstream) for upstream in contract.upstream])
    return decorate


@_decorator()
def replayed_letters(
    context: dg.AssetExecutionContext, config: Replay, lakehouse: LakehouseResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """Publish the letters and record them; the refused ones are in the metadata, each with its mend."""
    from c360.events import key_ring
    from c360.streams import letter_file, replay
    from c360.streams.dead_letters import Selection, select
    from c360_assets.quality.audit import audit
    from c360_assets.quality.checks import check_result

    settings, contract = lakehouse.settings(), get_contract(REPLAYED)
    try:
        selection = Selection.of(config.topic, config.reason, config.since, config.until)
        if bool(config.file) == bool(selection):
            raise StreamError(
                "A file and a choice of letters exclude each other, and one is needed",
                "configure the run with either file, or topic, reason, since or until",
            )
        with lakehouse.open() as lake:
            drafts = (
                letter_file.read(Path(config.file), lake)
                if config.file
                else replay.as_they_are(select(lake, selection))
            )
            with replay.open_producer(settings) as producer:
                found = replay.replay(lake, drafts, producer, context.run.run_id, datetime.now(UTC), key_ring(settings))
            rows, snapshot = lake.read(REPLAYED), lake.snapshot(REPLAYED)
    except C360Error as error:
        raise failure(error) from error
    # After the fact: what was published must be recorded, or the next replay would publish it again.
    report = audit(contract, rows, rows, rows)
    counted = Counter(result.outcome for result in found)
    refused = [result.row() for result in found if result.outcome == "refused"]
    names = ("letter", "error", "problem", "mend")
    yield dg.MaterializeResult(
        asset_key=asset_key(REPLAYED),
        metadata={
            "dagster/row_count": rows.num_rows,
            "letters": len(found),
            "published": counted["published"],
            "already_replayed": counted["already_replayed"],
            "refused": counted["refused"],
            "refused_by_error": dg.MetadataValue.json(dict(Counter(row["error"] for row in refused))),
            "refusals": dg.MetadataValue.table(
                records=[dg.TableRecord({name: row[name] for name in names}) for row in refused[:SHOWN]],
                schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in names]),
            ),
            "snapshot_id": dg.MetadataValue.text(str(snapshot)),
        },
        data_version=dg.DataVersion(str(snapshot)),
        check_results=[check_result(report)],
    )


@dg.definitions
def dead_letters() -> dg.Definitions:
    """The asset; runs of it are started by a person."""
    return dg.Definitions(assets=[replayed_letters])
