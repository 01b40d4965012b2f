-- Of the records of an event the one with the lowest (partition, offset), with the product version valid at its time.
WITH copies AS (
    SELECT *, row_number() OVER (PARTITION BY user_id, event_id, event_time ORDER BY partition, offset) AS copy
    FROM {bronze_purchases}
)
SELECT
    e.*, p.category, p.brand, p.price_cents, p.valid_from AS product_valid_from, to_date(e.event_time) AS event_date
FROM copies e
LEFT JOIN {silver_products} p
    ON e.product_id = p.product_id
    AND e.event_time >= p.valid_from AND (p.valid_to IS NULL OR e.event_time < p.valid_to)
WHERE e.copy = 1
