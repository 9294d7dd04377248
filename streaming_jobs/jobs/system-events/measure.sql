-- What gold.event_metrics sums up of these events: the name of the measure, and its value.
'duration_ms' AS measure, CAST(duration_ms AS DECIMAL(38, 6)) AS measured
