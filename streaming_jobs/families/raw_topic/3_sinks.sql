INSERT INTO `lake`.`bronze`.`${bronze}`
SELECT kafka_partition, kafka_offset, kafka_timestamp, raw_key, raw_value FROM message;

INSERT INTO `lake`.`silver`.`${silver}`
SELECT ${silver_columns}, kafka_partition, kafka_offset, kafka_timestamp FROM accepted;

INSERT INTO `lake`.`silver`.`late_events`
SELECT ${topic}, kafka_partition, kafka_offset, kafka_timestamp, event_id, event_timestamp, window_of(event_time, ${window_seconds})
FROM accepted WHERE late;

INSERT INTO `lake`.`silver`.`dead_letters`
SELECT ${topic}, kafka_partition, kafka_offset, kafka_timestamp, raw_key, raw_value, reason, field_name, event_id,
  ${contract_version}
FROM refused;

INSERT INTO dlq
SELECT raw_key, raw_value, MAP[
  'error_class', CAST(reason AS BYTES),
  'error_message', CAST(CONCAT(reason, COALESCE(CONCAT(': ', field_name), '')) AS BYTES),
  'source_topic', CAST(${topic} AS BYTES),
  'source_partition', CAST(CAST(kafka_partition AS STRING) AS BYTES),
  'source_offset', CAST(CAST(kafka_offset AS STRING) AS BYTES),
  'contract_version', CAST(${contract_version} AS BYTES),
  'consumer_group', CAST(${group} AS BYTES)]
FROM refused;

INSERT INTO `lake`.`gold`.`event_metrics`
SELECT window_start, window_end, ${topic}, event_type, measure, event_count, value_count, value_sum,
  CAST(value_sum AS DOUBLE) / value_count
FROM (
  SELECT window_start, window_end, event_type, measure, COUNT(*) AS event_count, COUNT(measured) AS value_count,
    SUM(measured) AS value_sum
  FROM TABLE(TUMBLE(TABLE on_time, DESCRIPTOR(event_time), ${window}))
  GROUP BY window_start, window_end, event_type, measure
);
