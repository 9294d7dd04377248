"""``gold.event_metrics`` from silver: the batch form of the streams' windows, by DuckDB.

What is measured is said once, in the job's ``measure.sql``; Flink runs it over the stream and DuckDB over the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from c360.streams.job import StreamJob

KEY = ("window_start", "source_topic", "event_type", "measure")

_METRICS = """
with events as (select *, date_trunc('milliseconds', event_timestamp) as event_time from silver),
measured as (
    select time_bucket(to_seconds({seconds}), event_time, timestamp '1970-01-01') as window_start,
        event_type, measure,
        -- By way of the text, so that a double is rounded as it is written, the same in every engine.
        try_cast(cast(measured as varchar) as decimal(38, 6)) as measured
    from ({measure})
)
select window_start, window_start + to_seconds({seconds}) as window_end, $topic as source_topic, event_type, measure,
    count(*) as event_count, count(measured) as value_count, sum(measured)::decimal(38, 6) as value_sum,
    cast(sum(measured)::decimal(38, 6) as double) / count(measured) as value_avg
from measured group by all order by all
"""


def event_metrics(job: StreamJob, silver: pa.Table) -> pa.Table:
    """The windows of these events of the job's silver table, in the columns of ``gold.event_metrics``."""
    from c360.contracts.loader import get_contract
    from c360.contracts.query import query_rows
    from c360.streams.job import METRICS

    query = _METRICS.format(seconds=job.window_seconds, measure=job.measure.replace("`", '"'))
    return query_rows(get_contract(METRICS), query, {"silver": silver}, {"topic": job.inputs[0]})
