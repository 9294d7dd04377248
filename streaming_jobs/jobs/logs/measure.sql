-- What gold.event_metrics sums up of these events: the name of the measure, and its value.
`level` AS measure, CAST(NULL AS DECIMAL(38, 6)) AS measured
