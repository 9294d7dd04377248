"""The windows of ``features.sales_metrics`` by Spark Structured Streaming, without its unique customers.

    python -m tests.bench.features_in_spark '{"home": …, "kafka_port": …}' peer-spark-sales

Started by ``bench_feature_jobs --peers``. It warms up on the first messages, prints ``ready``, starts at a line on its
input, and stays until it is ended. What an order repeats is known for a day of event time, not for ever, and what comes
later than that is dropped.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from c360.settings import Settings
from tests.bench.feature_peers import DELAY_HOURS
from tests.bench.streams_in_spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

BATCH, WARMING = 250_000, 20_000
CHANGE = """
    op STRING, after STRUCT<order_id: STRING, customer_id: STRING, ordered_at: TIMESTAMP, updated_at: TIMESTAMP,
      status: STRING, total_amount: BINARY>
"""
FACTS = """
    inline(filter(array(
      named_struct('fact', 'placed', 'happened', after.ordered_at, 'orders', 1L, 'cancellations', 0L,
        'cents', cast(conv(hex(after.total_amount), 16, 10) AS BIGINT)),
      named_struct('fact', 'cancelled', 'happened', after.updated_at, 'orders', 0L, 'cancellations', 1L, 'cents', 0L)
    ), each -> each.fact = 'placed' OR after.status = 'cancelled'))
"""


def main() -> None:
    settings, topic = Settings.model_validate_json(sys.argv[1]), sys.argv[2]
    spark = session(settings)
    # After the last message the watermark has to move once more.
    spark.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", "true")
    warming = sales(spark, settings, None, WARMING)
    while len(warming.recentProgress) < 3:
        time.sleep(0.2)
    warming.stop()
    print("ready", flush=True)
    sys.stdin.readline()
    sales(spark, settings, topic, BATCH).awaitTermination()
    sys.stdin.read()


def sales(spark: SparkSession, settings: Settings, topic: str | None, batch: int) -> StreamingQuery:
    """Start the query over all orders; without a topic it writes nothing and goes on for ever."""
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_servers)
        .option("subscribe", "dbserver1.public.orders")
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", batch)
        .option("kafka.isolation.level", "read_committed")
        .option("kafka.fetch.max.bytes", 16 << 20)
        .option("kafka.max.partition.fetch.bytes", 4 << 20)
        .option("kafka.max.poll.records", 5000)
        .load()
    )
    windows = (
        source.selectExpr(f"from_json(cast(value AS STRING), '{CHANGE}') AS change")
        .selectExpr("change.op", "change.after")
        .where("op IN ('c', 'r', 'u')")
        .selectExpr("after.order_id AS order_id", FACTS)
        .withWatermark("happened", f"{DELAY_HOURS} hours")
        .dropDuplicatesWithinWatermark(["order_id", "fact"])
        .selectExpr("window(happened, '1 hour', '5 minutes') AS hour", "orders", "cancellations", "cents")
        .groupBy("hour")
        .sum("orders", "cancellations", "cents")
        .toDF("hour", "orders", "cancellations", "cents")
        .selectExpr("date_format(hour.start, \"yyyy-MM-dd'T'HH:mm:ss'Z'\") AS metric_id", "*")
        .selectExpr(
            "metric_id AS key",
            "to_json(named_struct('metric_id', metric_id, 'orders', orders, 'cancellations', cancellations,"
            " 'revenue', cast(cast(cents AS DECIMAL(18, 2)) / 100 AS DECIMAL(18, 2)))) AS value",
        )
    )
    stream = windows.writeStream.outputMode("append")
    stream = stream.option("checkpointLocation", str(settings.home / f"peer-{topic or 'warming'}"))
    if topic is None:
        return stream.format("noop").start()
    stream = stream.format("kafka").option("kafka.bootstrap.servers", settings.kafka_servers).option("topic", topic)
    return stream.trigger(availableNow=True).start()


if __name__ == "__main__":
    main()
