"""``python -m tests.e2e.rebuild MOMENT…``: publish gold and its index again, once for each business moment.

Spark must be up. Prints a line of JSON after each: the moment in ``as_of``, and ``snapshots`` of the gold tables.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    import dagster as dg

    from c360.lakehouse import Lakehouse
    from c360.settings import Settings
    from c360_assets.definitions import defs

    selection = dg.AssetSelection.groups("gold", "serving")
    graph = defs().resolve_asset_graph()
    gold = [key for key in selection.resolve(graph) if key.path[0] == "gold"]
    job = defs().resolve_implicit_global_asset_job_def()
    for moment in sys.argv[1:]:
        result = job.execute_in_process(
            asset_selection=list(selection.resolve(graph)),
            run_config={
                "ops": {"__".join(key.path): {"config": {"as_of": moment}} for key in gold},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
        if not result.success:
            return 1
        with Lakehouse(Settings()) as lake:
            snapshots = {"gold." + key.path[1]: lake.snapshot("gold." + key.path[1]) for key in gold}
            print(json.dumps({"as_of": moment, "snapshots": snapshots}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
