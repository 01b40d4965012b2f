-- Of the records of an event the one with the lowest (partition, offset).
WITH copies AS (
    SELECT *, row_number() OVER (PARTITION BY user_id, event_id, event_time ORDER BY partition, offset) AS copy
    FROM {bronze_transactions}
)
SELECT *, to_date(event_time) AS event_date FROM copies WHERE copy = 1
