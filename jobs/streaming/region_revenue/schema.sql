-- What the consumer made of each record, and how far it is: one transaction changes both.
-- Runs inside the schema that search_path names; running it again changes nothing.

-- Who had a partition from when on. A claim is never changed: the newest one of a partition is its owner's.
CREATE TABLE IF NOT EXISTS claims (
    topic      text NOT NULL,
    partition  integer NOT NULL,
    epoch      bigint NOT NULL,
    owner      text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, epoch)
);

-- next_offset is null until something was kept. Who writes must know the epoch.
CREATE TABLE IF NOT EXISTS positions (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    epoch       bigint NOT NULL,
    next_offset bigint,
    PRIMARY KEY (topic, partition)
);

-- The id that Kafka gave the topic in which the positions were taken. One that is made anew has another.
CREATE TABLE IF NOT EXISTS topics (
    topic    text PRIMARY KEY,
    topic_id text NOT NULL
);

-- One row per record, by its position: to process a record again replaces its row.
CREATE TABLE IF NOT EXISTS results (
    topic        text NOT NULL,
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    reason       text, -- why the record is no purchase; null: it is one
    user_id      text,
    event_id     text,
    event_time   timestamptz(3),
    region       text, -- as JSON: a valid string may hold U+0000, which text can't
    amount_cents bigint,
    record_hash  bigint NOT NULL,
    epoch        bigint NOT NULL, -- the claim under which it was processed
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, "offset"),
    CHECK ((reason IS NULL) = (amount_cents IS NOT NULL))
);

-- The same as gold.region_revenue_daily: of an event's copies the lowest (partition, offset) counts. PostgreSQL sums
-- bigint as numeric, which neither wraps nor raises; a sum that the table's bigint can't hold is null there and here.
CREATE OR REPLACE VIEW region_revenue_daily AS
SELECT
    region,
    (event_time AT TIME ZONE 'UTC')::date AS event_date,
    count(*) AS purchases,
    CASE WHEN sum(amount_cents) <= 9223372036854775807 THEN sum(amount_cents) END AS revenue_cents,
    count(*) AS events,
    sum(record_hash) AS fingerprint
FROM (
    SELECT DISTINCT ON (user_id, event_id, event_time) *
    FROM results
    WHERE reason IS NULL
    ORDER BY user_id, event_id, event_time, partition, "offset"
) AS once
GROUP BY 1, 2;
