-- The first version. "postroad." stands for the schema that the queue is opened with; as it is, the file runs in psql.

CREATE TABLE postroad.version (
    version integer NOT NULL,           -- of the schema: the number of the latest migration
    epoch   bigint NOT NULL DEFAULT 0   -- added to transaction numbers in marks, so that marks go on after a restore
);
INSERT INTO postroad.version VALUES (0);

CREATE SEQUENCE postroad.numbers;       -- of bodies
CREATE SEQUENCE postroad.tokens;        -- never goes back, not even when a transaction does

-- A message. It changes when a job of it finishes, and only the last of these changes touches an index.
CREATE TABLE postroad.messages (
    id         text COLLATE "C" PRIMARY KEY,
    digest     bytea NOT NULL,
    sender     text NOT NULL,           -- reverse-path
    tenant     text NOT NULL,
    priority   smallint NOT NULL,
    labels     jsonb NOT NULL,          -- array of strings
    size       bigint NOT NULL,
    enqueued   timestamptz,
    expires    timestamptz NOT NULL,
    utf8       boolean NOT NULL,
    eight_bit  boolean NOT NULL,
    ret        text NOT NULL,           -- RET of RFC 3461
    envelope   text NOT NULL,           -- ENVID of RFC 3461
    tls        text NOT NULL,
    body       bigint NOT NULL,         -- in chunks, while unfinished is not 0
    unfinished integer NOT NULL,        -- jobs
    ended      timestamptz              -- when the last job finished
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX messages_ended ON postroad.messages (ended) WHERE ended IS NOT NULL;

-- Bodies, in pieces of up to 8000 octets: what fits into a page as it is, without TOAST and its index, is a third cheaper.
CREATE TABLE postroad.chunks (
    body   bigint NOT NULL,
    n      integer NOT NULL,            -- below 0: what Head returned, of a body that was written ahead
    octets bytea NOT NULL,
    PRIMARY KEY (body, n)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE postroad.chunks ALTER COLUMN octets SET STORAGE PLAIN;

-- Bodies that are being written ahead, and belong to no message yet.
CREATE TABLE postroad.drafts (
    body    bigint PRIMARY KEY,
    touched timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A job: one message on its way to one destination. A claim moves it from the indexes of what is free to those of what is leased,
-- a commit that finishes it leaves only the key: the indexes that claims read hold nothing but what waits.
CREATE TABLE postroad.jobs (
    id         text COLLATE "C" NOT NULL,
    n          integer NOT NULL,
    lane       uuid NOT NULL,           -- SHA-256 of domain, tenant and priority, which may be too long for an index
    domain     text NOT NULL,
    tenant     text NOT NULL,
    priority   smallint NOT NULL,
    retry      boolean NOT NULL,        -- tries > 0
    expires    timestamptz NOT NULL,
    due        timestamptz,             -- null only in a finished job
    finished   timestamptz,
    held       boolean NOT NULL,
    via        text NOT NULL,
    tries      bigint NOT NULL,
    lapses     bigint NOT NULL DEFAULT 0,
    recipients jsonb NOT NULL,          -- array of objects: address, state, reply, ...
    marks      bigint[],                -- of the recipients, 0 for one that hasn't ended; null for none
    attempts   jsonb NOT NULL,          -- array of objects, oldest first
    leased     timestamptz,             -- the end of the lease
    holder     text,
    token      bigint,                  -- of the latest claim, until a commit spends it
    spent      bigint,                  -- by the latest commit
    PRIMARY KEY (id, n)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX jobs_lane ON postroad.jobs (lane, retry, due, id, n) WHERE finished IS NULL AND leased IS NULL AND NOT held;
CREATE INDEX jobs_any ON postroad.jobs (priority DESC, due, id, n) WHERE finished IS NULL AND leased IS NULL AND NOT held;
CREATE INDEX jobs_expires ON postroad.jobs (expires, id, n) WHERE finished IS NULL AND leased IS NULL;
CREATE INDEX jobs_leased_lane ON postroad.jobs (lane, retry, leased) WHERE leased IS NOT NULL;
CREATE INDEX jobs_leased_expires ON postroad.jobs (expires, id, n) WHERE leased IS NOT NULL;

-- What has ended: a row for each commit that ended recipients of a job, under the greatest mark it gave.
CREATE TABLE postroad.ended (
    mark bigint PRIMARY KEY,
    id   text COLLATE "C" NOT NULL,
    n    integer NOT NULL
);

CREATE TABLE postroad.notes (
    key   bytea PRIMARY KEY,
    value bytea NOT NULL
);

-- Who works on the queue: what each would use of a site, and what it may.
CREATE TABLE postroad.holders (
    holder text COLLATE "C" PRIMARY KEY,
    until  timestamptz NOT NULL,
    want   jsonb NOT NULL,              -- {"site": {"Want": slots, "Used": slots}, ...}
    have   jsonb NOT NULL
);
