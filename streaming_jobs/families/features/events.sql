-- The actions of customers, each message read once. The watermark follows the clock of arrival, as no clock of a source can stall
-- or advance that one, and heartbeats among the topics move it when nobody acts. It only says when a visit or a cart is told: no
-- action is ever late, as features are functions of the set of actions.
CREATE TEMPORARY TABLE message (
  raw_value BYTES,
  kafka_timestamp TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  event AS parse_event(raw_value, kafka_timestamp, ${contract}),
  event_time AS COALESCE(parse_event(raw_value, kafka_timestamp, ${contract}).event_time, kafka_timestamp),
  seen_at AS PROCTIME(),
  WATERMARK FOR event_time AS kafka_timestamp - ${lateness}
) WITH (
  ${from_kafka},
  'scan.watermark.emit.strategy' = 'on-periodic',
  'value.format' = 'raw'
);

CREATE TEMPORARY VIEW allowed_event AS
SELECT event.id_high AS id_high, event.id_low AS id_low, event.fingerprint AS fingerprint, event.event_id AS event_id,
  event.event_type AS event_type, event.event_timestamp AS happened_at, event.user_id AS customer_id,
  event.product_id AS product_id, event_time, seen_at
FROM message WHERE event.reason IS NULL;

-- The first event of an id counts, as in silver: neither a repetition nor what contradicts it does.
CREATE TEMPORARY VIEW judged_event AS
SELECT *, standing(fingerprint) OVER (
    PARTITION BY id_high, id_low ORDER BY seen_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS standing
FROM allowed_event;

CREATE TEMPORARY VIEW action_of_customer AS
SELECT customer_id, event_id, event_type, product_id, happened_at, event_time
FROM judged_event WHERE standing = 0 AND customer_id IS NOT NULL;
