-- One message, read once and parsed once. Event time is the event's own; the watermark follows the clock of arrival, so
-- that no clock of a source can stall or expire anything, and whether an event is late can be told from the event alone.
CREATE TEMPORARY TABLE message (
  raw_key BYTES,
  raw_value BYTES,
  kafka_partition INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  kafka_offset BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  kafka_timestamp TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  event AS parse_event(raw_value, kafka_timestamp, ${contract}),
  event_time AS COALESCE(parse_event(raw_value, kafka_timestamp, ${contract}).event_time, kafka_timestamp),
  seen_at AS PROCTIME(),
  WATERMARK FOR event_time AS kafka_timestamp - ${lateness}
) WITH (
  ${from_kafka},
  'key.format' = 'raw',
  'key.fields' = 'raw_key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TEMPORARY TABLE dlq (
  raw_key BYTES,
  raw_value BYTES,
  headers MAP<STRING, BYTES> METADATA
) WITH (
  'connector' = 'kafka',
  'topic' = 'events.dlq',
  'properties.bootstrap.servers' = ${brokers},
  'properties.transaction.timeout.ms' = '900000',
  'properties.max.request.size' = '2097152',
  'key.format' = 'raw',
  'key.fields' = 'raw_key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = ${transactional_id}
);
