-- Every message as it came. Who wants to know what is in it reads it from the table.
CREATE TEMPORARY TABLE message (
  `topic` STRING NOT NULL METADATA VIRTUAL,
  raw_key BYTES,
  raw_value BYTES,
  kafka_partition INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  kafka_offset BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  kafka_timestamp TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL
) WITH (
  ${from_kafka},
  'key.format' = 'raw',
  'key.fields' = 'raw_key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
);

INSERT INTO `lake`.`bronze`.`shop_changes`
SELECT `topic`, kafka_partition, kafka_offset, kafka_timestamp, raw_key, raw_value FROM message;
