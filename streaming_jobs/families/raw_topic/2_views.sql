CREATE TEMPORARY VIEW parsed AS
SELECT raw_key, raw_value, kafka_partition, kafka_offset, kafka_timestamp, event_time, seen_at, ${event_columns},
  event.reason AS reason, event.field_name AS field_name, event.fingerprint AS fingerprint,
  event.id_high AS id_high, event.id_low AS id_low
FROM message;

-- An id is a UUID, so its two halves are the id. The first event of an id counts; how a later one stands to it decides whether it is a repetition or contradicts it.
CREATE TEMPORARY VIEW judged AS
SELECT *, standing(fingerprint) OVER (
    PARTITION BY id_high, id_low ORDER BY seen_at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS standing
FROM parsed WHERE reason IS NULL;

-- Late by the rule, or behind a watermark that ran ahead (a message with an older time of arrival than one before it): the
-- window would drop either without a word.
CREATE TEMPORARY VIEW accepted AS
SELECT *,
  event_time < kafka_timestamp - ${lateness}
    OR COALESCE(window_of(event_time, ${window_seconds}) + ${window} <= CURRENT_WATERMARK(event_time), FALSE) AS late
FROM judged WHERE standing = 0;

CREATE TEMPORARY VIEW events AS
SELECT * FROM accepted WHERE NOT late;

CREATE TEMPORARY VIEW on_time AS
SELECT event_time, event_type, measure, CAST(measured AS DECIMAL(38, 6)) AS measured FROM (${measure});

CREATE TEMPORARY VIEW refused AS
SELECT raw_key, raw_value, kafka_partition, kafka_offset, kafka_timestamp, reason, field_name, event_id
FROM parsed WHERE reason IS NOT NULL
UNION ALL
SELECT raw_key, raw_value, kafka_partition, kafka_offset, kafka_timestamp, 'conflicting_duplicate', 'event_id', event_id
FROM judged WHERE standing = 2;
