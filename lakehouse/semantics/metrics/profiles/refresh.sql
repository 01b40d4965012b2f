-- A change that was sent again counts once, where it came first. Of two versions with one valid_from the later one wins.
WITH copies AS (
    SELECT *, row_number() OVER (PARTITION BY user_id, event_id, event_time ORDER BY partition, offset) AS copy
    FROM {bronze_profiles}
),
rivals AS (
    SELECT *, row_number() OVER (PARTITION BY user_id, valid_from ORDER BY partition DESC, offset DESC) AS rival
    FROM copies
    WHERE copy = 1
)
SELECT *, lead(valid_from) OVER (PARTITION BY user_id ORDER BY valid_from) AS valid_to FROM rivals WHERE rival = 1
