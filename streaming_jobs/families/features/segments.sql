-- The newest segments of customers, from the topic that the job customer-segmentation writes. A row that comes again is scored again,
-- to the same score. A message that is no row of segments is passed over here: the sink, which reads the same topic, counts it and puts
-- it into events.dlq with its reason. It does not move time either.
CREATE TEMPORARY TABLE message (
  customer_id STRING,
  orders BIGINT,
  spend STRING,
  last_order_at TIMESTAMP_LTZ(6),
  effective_at TIMESTAMP_LTZ(6),
  version BIGINT,
  event_time AS CAST(COALESCE(effective_at, TO_TIMESTAMP_LTZ(0, 3)) AS TIMESTAMP_LTZ(3)),
  WATERMARK FOR event_time AS event_time
) WITH (
  ${from_kafka},
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601',
  'value.json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY VIEW segment_of_customer AS
SELECT customer_id, orders, TRY_CAST(spend AS DECIMAL(18, 2)) AS spend, last_order_at, effective_at, version, event_time
FROM message
WHERE customer_id IS NOT NULL AND orders IS NOT NULL AND TRY_CAST(spend AS DECIMAL(18, 2)) IS NOT NULL
  AND last_order_at IS NOT NULL AND effective_at IS NOT NULL AND version IS NOT NULL;
