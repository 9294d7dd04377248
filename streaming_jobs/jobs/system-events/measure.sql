-- What gold.event_metrics sums up of these events: the name of the measure, and its value. Read by Flink and DuckDB.
SELECT event_time, event_type, 'duration_ms' AS measure, duration_ms AS measured FROM events
