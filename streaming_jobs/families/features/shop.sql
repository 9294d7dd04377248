-- The shop's changes, each message read once. Event time is when the row changed by its own clock, but never after the message
-- arrived: no clock of a source can run ahead. The watermark only moves what happens as time passes (a segment that falls, a
-- window that ends): no change is ever late, as features are functions of the set of changes.
CREATE TEMPORARY TABLE message (
  raw_value BYTES,
  `topic` STRING NOT NULL METADATA VIRTUAL,
  kafka_timestamp TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  change AS read_shop_change(`topic`, raw_value),
  event_time AS change_time(read_shop_change(`topic`, raw_value).changed, kafka_timestamp),
  WATERMARK FOR event_time AS event_time
) WITH (
  ${from_kafka},
  -- Partitions are read turn by turn in small bites: their clocks then stay close together when much is to be read.
  'properties.max.partition.fetch.bytes' = '262144',
  'properties.fetch.max.wait.ms' = '50',
  'scan.watermark.emit.strategy' = 'on-periodic',
  'value.format' = 'raw'
);

CREATE TEMPORARY VIEW change_of_shop AS
SELECT change.kind AS kind, change.order_id AS order_id, change.customer_id AS customer_id,
  change.product_id AS product_id, change.part_id AS part_id, change.status AS status, change.category AS category,
  change.quantity AS quantity, change.cents AS cents, change.happened AS happened, change.changed AS changed
FROM message WHERE change.kind IS NOT NULL AND change.kind <> 'heartbeat';

CREATE TEMPORARY VIEW change_of_order AS
SELECT order_id, customer_id, status, cents, happened, changed FROM change_of_shop WHERE kind = 'orders';

-- An order is placed once and cancelled at most once, however often its row changes or is read again. Functions are called
-- without on_time: given one, Flink 2.1 drops every row that is not after the watermark, without a word. Timers run all the same.
CREATE TEMPORARY VIEW order_fact AS
SELECT order_id, fact, customer_id, cents, happened
FROM order_facts(change => TABLE change_of_order PARTITION BY order_id, uid => 'order-facts');
