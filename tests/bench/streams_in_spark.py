"""The job ``events`` as a script of Spark Structured Streaming: the same topic, the same tables, at least once.

    python -m tests.bench.streams_in_spark '{"home": …, "kafka_port": …}' 1000000

Started by ``bench_streams --peers``. Two queries, because the one that keeps only the first event of an id cannot hand
on the repeated messages that bronze keeps. Only the contract's simpler rules are checked. A first batch warms the JVM;
then it prints ``ready``, starts at a line on its input, and stays until its input ends.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from c360.engines import jars
from c360.engines.java import find_java
from c360.engines.spark_conf import spark_conf
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.bench.stream_messages import TOPIC
from tests.bench.stream_watch import BRONZE, JOB, SILVER, fresh_tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

EVENT = """
    event_id STRING, event_timestamp TIMESTAMP, source_system STRING, schema_version BIGINT, event_type STRING,
    metadata STRUCT<correlation_id: STRING, causation_id: STRING, producer: STRING>,
    payload STRUCT<user_id: STRING, session_id: STRING, product_id: STRING, order_id: STRING, device: STRING,
      ip_address: STRING, email: STRING, properties: STRING>
"""
REASON = """
    CASE WHEN event.event_id IS NULL OR length(event.event_id) <> 36 THEN 'malformed'
      WHEN event.event_timestamp IS NULL OR event.source_system IS NULL OR event.metadata.correlation_id IS NULL
        THEN 'missing_field'
      WHEN event.schema_version IS NULL OR event.schema_version NOT BETWEEN 1 AND 2 THEN 'unknown_version'
      WHEN event.event_type IS NULL OR event.event_type NOT IN ('session_start', 'page_view', 'product_view', 'search',
        'add_to_cart', 'remove_from_cart', 'checkout', 'purchase', 'support_ticket') THEN 'not_allowed' END
"""
POSITION = "partition AS kafka_partition", "offset AS kafka_offset", "timestamp AS kafka_timestamp"
WRITE = {"distribution-mode": "none", "fanout-enabled": "true"}  # else rows are shuffled by partition first


def main() -> None:
    settings, batch = Settings.model_validate_json(sys.argv[1]), int(sys.argv[2])
    with Lakehouse(settings) as lake:
        spark = session(settings)
        warming = queries(spark, settings, "warming", batch // 2, forever=True)
        while any(not query.recentProgress for query in warming):
            time.sleep(0.2)
        for query in warming:
            query.stop()
        fresh_tables(lake)
        print("ready", flush=True)
        sys.stdin.readline()
        for query in queries(spark, settings, "run", batch):
            query.awaitTermination()
        sys.stdin.read()
        spark.stop()


def session(settings: Settings) -> SparkSession:
    """A classic session on two cores, on the Java that runs the other engines."""
    from pyspark.sql import SparkSession

    os.environ["JAVA_HOME"] = str(_java(settings))
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    conf = {key: value for key, value in spark_conf(settings).items() if not key.startswith("spark.connect.")}
    state = "spark.sql.streaming.stateStore"
    conf |= {
        "spark.master": "local[2]",
        "spark.driver.memory": "4g",
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        "spark.jars": ",".join(map(str, jars.fetch(["spark", "spark-kafka"], settings, quiet=True))),
        "spark.log.level": "OFF",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.iceberg.check-nullability": "false",
        f"{state}.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
        f"{state}.rocksdb.changelogCheckpointing.enabled": "true",
        f"{state}.rocksdb.trackTotalNumberOfRows": "false",
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    }
    builder = SparkSession.builder.appName("peer")
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def queries(
    spark: SparkSession, settings: Settings, name: str, batch: int, *, forever: bool = False
) -> list[StreamingQuery]:
    """Start both queries over the topic from its first message; without ``forever`` they end at its last."""
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_servers)
        .option("subscribe", TOPIC)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", batch)
        .option("kafka.fetch.max.bytes", 16 << 20)
        .option("kafka.max.partition.fetch.bytes", 4 << 20)
        .option("kafka.max.poll.records", 5000)
        .load()
    )
    checked = (
        source.selectExpr("*", f"from_json(cast(value AS STRING), '{EVENT}') AS event")
        .selectExpr("*", f"{REASON} AS reason")
        # A refused message has an id of its own, so that it passes; only for it the message is carried on.
        .selectExpr(
            "if(reason IS NULL, event.event_id, concat(partition, '-', offset)) AS id", "event", "reason", *POSITION,
            "if(reason IS NULL, NULL, key) AS key", "if(reason IS NULL, NULL, value) AS value",
        )
        .withWatermark("kafka_timestamp", f"{JOB.state_ttl_hours:.0f} hours")
        .dropDuplicatesWithinWatermark(["id"])
    )  # fmt: skip
    started = []
    for part, frame, write in (
        ("events", checked, _write_events),
        ("bronze", source.selectExpr(*POSITION, "key", "value"), _write_bronze),
    ):
        stream = frame.writeStream.foreachBatch(write)
        stream = stream.option("checkpointLocation", str(settings.home / f"peer-{name}-{part}"))
        stream = stream.trigger(processingTime="0 seconds") if forever else stream.trigger(availableNow=True)
        started.append(stream.start())
    return started


def _write_bronze(rows: DataFrame, _batch: int) -> None:
    _append(rows, BRONZE)


def _write_events(rows: DataFrame, _batch: int) -> None:
    kept = rows.persist()
    good = kept.where("reason IS NULL")
    position = "kafka_partition", "kafka_offset", "kafka_timestamp"
    _append(
        good.selectExpr(
            "event.event_id", "event.event_timestamp", "event.source_system", "event.schema_version",
            "event.metadata.*", "event.event_type", "event.payload.*", *position,
        ),
        SILVER,
    )  # fmt: skip
    _append(
        kept.where("reason IS NOT NULL").selectExpr(
            f"'{TOPIC}' AS source_topic", *position, "key", "value", "reason",
            "CAST(NULL AS STRING) AS field_name", "event.event_id", f"'{JOB.topic.version}' AS contract_version",
        ),
        "silver.dead_letters",
    )  # fmt: skip
    # Parts of the windows' counts, to be summed up by the reader.
    windows = good.selectExpr("event.event_type", f"window(event.event_timestamp, '{JOB.window_seconds} seconds') AS w")
    _append(
        windows.groupBy("w", "event_type").count().selectExpr(
            "w.start AS window_start", "w.end AS window_end", f"'{TOPIC}' AS source_topic", "event_type",
            "'events' AS measure", "count AS event_count", "CAST(0 AS BIGINT) AS value_count",
            "CAST(NULL AS DECIMAL(38, 6)) AS value_sum", "CAST(NULL AS DOUBLE) AS value_avg",
        ),
        "gold.event_metrics",
    )  # fmt: skip
    kept.unpersist()


def _append(rows: DataFrame, table: str) -> None:
    rows.writeTo(f"lake.{table}").options(**WRITE).append()


def _java(settings: Settings) -> Path:
    """A Java home for Spark's launch script, without the module that it asks for and the packaged Java lacks."""
    home = settings.home / "peer-java"
    (home / "bin").mkdir(parents=True)
    launcher = home / "bin" / "java"
    real = find_java(settings).executable
    launcher.write_text(f'#!/bin/bash\nexec "{real}" "${{@/--add-modules=jdk.incubator.vector/-Dpeer=spark}}"\n')
    launcher.chmod(0o755)
    return home


if __name__ == "__main__":
    main()
