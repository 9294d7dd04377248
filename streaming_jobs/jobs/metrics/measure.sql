-- What gold.event_metrics sums up of these events: the name of the measure, and its value.
metric_name AS measure, CAST(`value` AS DECIMAL(38, 6)) AS measured
