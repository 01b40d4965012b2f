-- How far each replay has come, and what its owner is to swap in. Running this again changes nothing.
SELECT pg_advisory_xact_lock(hashtext('replay schema'));
CREATE SCHEMA IF NOT EXISTS replay;

CREATE TABLE IF NOT EXISTS replay.replays (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace    text NOT NULL,
    state        text NOT NULL,
    plan         jsonb NOT NULL,
    recomputed   jsonb,
    diff         jsonb,
    outcome      jsonb,
    undone       jsonb,
    error        text,
    requested_by text NOT NULL,
    approved_by  text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz NOT NULL DEFAULT now()
);

-- kind: swap or undo. attempts: how often the owner has begun; what it has not finished it does again.
CREATE TABLE IF NOT EXISTS replay.change_sets (
    replay    bigint NOT NULL REFERENCES replay.replays ON DELETE CASCADE,
    kind      text NOT NULL CHECK (kind IN ('swap', 'undo')),
    namespace text NOT NULL,
    content   jsonb NOT NULL,
    state     text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'applied', 'refused', 'withdrawn')),
    attempts  integer NOT NULL DEFAULT 0,
    result    jsonb,
    error     text,
    handed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (replay, kind)
);

-- run, undo_run: the Airflow runs that asked for a replay, and for its undo; their end withdraws what they asked for.
ALTER TABLE replay.replays ADD COLUMN IF NOT EXISTS run text;
ALTER TABLE replay.replays ADD COLUMN IF NOT EXISTS undo_run text;
-- awaited_until: so long somebody waits for it to be put in place; else nobody may want it any more.
ALTER TABLE replay.change_sets ADD COLUMN IF NOT EXISTS
    awaited_until timestamptz NOT NULL DEFAULT clock_timestamp() + interval '60 s';
