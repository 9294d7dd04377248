-- The newest segments of customers, from the topic that the job customer-segmentation writes. A row that comes again is scored again,
-- to the same score.
CREATE TEMPORARY TABLE message (
  customer_id STRING,
  orders BIGINT,
  spend STRING,
  last_order_at TIMESTAMP_LTZ(6),
  effective_at TIMESTAMP_LTZ(6),
  version BIGINT,
  event_time AS CAST(effective_at AS TIMESTAMP_LTZ(3)),
  WATERMARK FOR event_time AS event_time
) WITH (
  ${from_kafka},
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601'
);

CREATE TEMPORARY VIEW segment_of_customer AS
SELECT customer_id, orders, CAST(spend AS DECIMAL(18, 2)) AS spend, last_order_at, effective_at, version, event_time
FROM message;
