-- What gold.event_metrics sums up of these events: the name of the measure, and its value. Read by Flink and DuckDB.
SELECT event_time, event_type, metric_name AS measure, `value` AS measured FROM events
