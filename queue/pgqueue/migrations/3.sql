-- What the queue's own sessions send lists as: arrays of these types, which take the server a third of the time that JSON does. A
-- version that needs other columns makes types of its own, since older processes may still be running.
CREATE TYPE postroad.given_message AS (
    i          integer,                 -- its number in the statement
    id         text COLLATE "C",
    digest     bytea,
    sender     text,
    tenant     text,
    priority   smallint,
    labels     jsonb,
    size       bigint,
    enqueued   timestamptz,
    expires    timestamptz,
    utf8       boolean,
    eight_bit  boolean,
    ret        text,
    envelope   text,
    tls        text,
    unfinished integer,
    ended      timestamptz,
    draft      bigint,                  -- null if no body was written ahead
    "at"       integer,                 -- where in the octets of the statement its own are
    length     integer                  -- how many
);
CREATE TYPE postroad.given_job AS (
    i          integer,                 -- of its message
    n          integer,
    lane       uuid,
    domain     text,
    due        timestamptz,
    finished   timestamptz,
    held       boolean,
    via        text,
    tries      bigint,
    recipients jsonb,
    attempts   jsonb,
    marks      bigint[],                -- counted from 1 within the statement
    leased     timestamptz,
    holder     text,
    token      bigint
);
CREATE TYPE postroad.outcome AS (
    i          integer,                 -- its number in the statement
    id         text COLLATE "C",
    n          bigint,
    token      bigint,
    due        timestamptz,
    finished   timestamptz,
    held       boolean,
    via        text,
    tries      bigint,
    lapses     bigint,
    recipients jsonb,
    attempts   jsonb,
    final      boolean[],               -- for each recipient; null for none
    before     bigint                   -- how many marks the jobs before may take
);

-- The indexes that claims read have a condition more, which is always true, and each its own: only a query that says the same can use it.
-- When all that waits is leased at once these indexes are nearly empty, and to a planner that looks then any of them seems as good as
-- the right one. What it chose was kept when a million jobs waited.
DROP INDEX postroad.jobs_lane, postroad.jobs_any, postroad.jobs_expires, postroad.jobs_leased_lane, postroad.jobs_leased_expires;
CREATE INDEX jobs_lane ON postroad.jobs (lane, retry, due, id, n) WHERE finished IS NULL AND leased IS NULL AND NOT held AND tries >= 0;
CREATE INDEX jobs_any ON postroad.jobs (priority DESC, due, id, n) WHERE finished IS NULL AND leased IS NULL AND NOT held AND lapses >= 0;
CREATE INDEX jobs_expires ON postroad.jobs (expires, id, n) WHERE finished IS NULL AND leased IS NULL AND n >= 0;
CREATE INDEX jobs_leased_lane ON postroad.jobs (lane, retry, leased) WHERE leased IS NOT NULL AND tries >= 0;
CREATE INDEX jobs_leased_expires ON postroad.jobs (expires, id, n) WHERE leased IS NOT NULL AND n >= 0;
