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
