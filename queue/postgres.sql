-- Each method of Queue, and of the optional interfaces, as PostgreSQL runs it: what a backend for many processes starts from,
-- and the proof that nothing in the interface needs a file with a lock around it. postgres_test.go runs it all.
--
-- Times are timestamptz, which keeps microseconds; the backend cuts off what is finer, since PostgreSQL would round. Text is
-- compared by octets, as keys are in Go. What no statement selects by is kept as JSON.

CREATE TABLE bodies (                   -- a row for each body, before there is a message
    body    bigserial PRIMARY KEY,
    started timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE chunks (                   -- written ahead, each in a transaction of its own; n is -1 for what Head returned
    body   bigint NOT NULL REFERENCES bodies ON DELETE CASCADE,
    n      integer NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (body, n)
);
CREATE TABLE messages (
    id         text COLLATE "C" PRIMARY KEY,
    digest     bytea NOT NULL,
    sender     text NOT NULL,
    labels     text[] NOT NULL,
    data       jsonb NOT NULL,          -- queue.Message
    body       bigint REFERENCES bodies ON DELETE SET NULL, -- null when unfinished is 0
    unfinished integer NOT NULL
);
CREATE TABLE jobs (
    id         text COLLATE "C" NOT NULL REFERENCES messages,
    n          integer NOT NULL,
    domain     text COLLATE "C" NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    priority   smallint NOT NULL,
    retry      boolean NOT NULL,        -- Tries > 0
    expires    timestamptz NOT NULL,
    due        timestamptz NOT NULL,
    finished   timestamptz,
    held       boolean NOT NULL,
    recipients jsonb NOT NULL,          -- []queue.Recipient with their marks
    data       jsonb NOT NULL,          -- Attempts, Tries, Via
    lapses     integer NOT NULL DEFAULT 0,
    mark       bigint NOT NULL DEFAULT 0, -- Job.Mark
    leased     timestamptz,
    holder     text,
    token      bigint,                  -- of the latest claim, until a commit spends it
    spent      bigint,                  -- by the latest commit
    PRIMARY KEY (id, n)
);
CREATE FUNCTION moment(text) RETURNS timestamptz LANGUAGE sql AS $$ -- a zero time.Time is null
    SELECT nullif($1::timestamptz, '0001-01-01T00:00:00Z') $$;
CREATE SEQUENCE tokens;                 -- never goes back, not even when a transaction does
CREATE INDEX jobs_lane    ON jobs (domain, tenant, priority, retry, due, id, n) WHERE finished IS NULL AND NOT held;
CREATE INDEX jobs_any     ON jobs (priority DESC, due, id, n) WHERE finished IS NULL AND NOT held;
CREATE INDEX jobs_expires ON jobs (expires, id, n) WHERE finished IS NULL;
CREATE INDEX jobs_leased  ON jobs (domain, tenant, priority, retry, leased) WHERE leased IS NOT NULL;
CREATE INDEX jobs_mark    ON jobs (mark) WHERE mark > 0;
CREATE INDEX jobs_to      ON jobs USING gin (recipients jsonb_path_ops);
CREATE INDEX messages_labels ON messages USING gin (labels);

-- Marks are the number of the transaction that gives them, and a count within it. Transactions don't finish in the order of
-- their numbers, so a reader of what has ended stops before the oldest one that is still running: all that it reads is
-- settled, and nothing can come before it any more. Committing waits for nobody.
CREATE FUNCTION first_mark() RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_current_xact_id()::text::bigint << 27 $$;
CREATE FUNCTION settled() RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint << 27 $$;

-- marked is the recipients with the marks they had, and new ones, from first on, for those that have become final.
CREATE FUNCTION marked(recipients jsonb, old jsonb, first bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(r || jsonb_build_object('Mark', CASE
               WHEN (r->>'State')::int NOT IN (1, 3, 4) THEN 0 -- Delivered, Bounced, Withdrawn
               ELSE coalesce(nullif((old->(i::int - 1)->>'Mark')::bigint, 0), first + i) END) ORDER BY i)
    FROM jsonb_array_elements(recipients) WITH ORDINALITY AS list(r, i) $$;
CREATE FUNCTION greatest_mark(recipients jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT max((r->>'Mark')::bigint) FROM jsonb_array_elements(recipients) AS list(r) $$;

-- Enqueue writes the body ahead, then runs put_message, put_jobs and, for a Waker, NOTIFY in one transaction. If put_message
-- gives no row the ID is taken, and same_digest says whether that is a conflict; the written body is dropped.
PREPARE new_body AS INSERT INTO bodies DEFAULT VALUES RETURNING body;
PREPARE put_chunk(bigint, integer, bytea) AS INSERT INTO chunks VALUES ($1, $2, $3);
PREPARE drop_body(bigint) AS DELETE FROM bodies WHERE body = $1;
PREPARE put_message(jsonb, bytea, bigint, integer) AS -- queue.Message, digest, body or null, unfinished jobs
    INSERT INTO messages
    SELECT $1->>'ID', $2, $1->>'From', ARRAY(SELECT jsonb_array_elements_text($1->'Labels')), $1, $3, $4
    ON CONFLICT (id) DO NOTHING RETURNING id;
PREPARE same_digest(text, bytea) AS SELECT digest = $2 FROM messages WHERE id = $1;
PREPARE put_jobs(jsonb, jsonb, bigint) AS -- queue.Message, []queue.Job, recipients this transaction has stored before
    WITH list AS (
        SELECT j, i, coalesce(sum(jsonb_array_length(j->'Recipients'))
                 OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS before
        FROM jsonb_array_elements($2) WITH ORDINALITY AS all_jobs(j, i)
    ), marks AS (
        SELECT j, i, marked(j->'Recipients', NULL, first_mark() + $3 + before) AS recipients
        FROM list
    )
    INSERT INTO jobs (id, n, domain, tenant, priority, retry, expires, due, finished, held, recipients, data, mark)
    SELECT $1->>'ID', i - 1, j->>'Domain', $1->>'Tenant', ($1->>'Priority')::smallint, (j->>'Tries')::bigint > 0,
           moment($1->>'Expires'), coalesce(moment(j->>'Due'), '-infinity'), moment(j->>'Finished'), (j->>'Held')::boolean, recipients,
           jsonb_build_object('Attempts', j->'Attempts', 'Tries', j->'Tries', 'Via', j->'Via'), greatest_mark(recipients)
    FROM marks;
PREPARE sweep(timestamptz) AS -- what a crash has left of bodies written ahead
    DELETE FROM bodies b WHERE started < $1 AND NOT EXISTS (SELECT FROM messages m WHERE m.body = b.body);

-- Claim: now, lease, limit, holder, expired, lanes. Lanes is null for any, else
-- [{"Domain", "Tenant", "Priority", "Retry", "N"}, ...].
-- A row that another claim has locked is skipped: it will be that one's. Rows that are locked and then cut off by limit
-- are free again at the end of the transaction.
PREPARE claim(timestamptz, interval, integer, text, boolean, jsonb) AS
    WITH expired AS MATERIALIZED (
        SELECT id, n, 0 AS step, 0 AS lane, 0 AS priority, expires AS at FROM jobs
        WHERE $5 AND finished IS NULL AND expires <= $1 AND (leased IS NULL OR leased <= $1)
        ORDER BY expires, id, n LIMIT $3 FOR UPDATE SKIP LOCKED
    ), taken AS MATERIALIZED (
        SELECT j.id, j.n, 1, l.i, 0, j.due
        FROM jsonb_array_elements($6) WITH ORDINALITY AS l(lane, i) CROSS JOIN LATERAL (
            SELECT id, n, due FROM jobs
            WHERE domain = lane->>'Domain' AND tenant = lane->>'Tenant' AND priority = (lane->>'Priority')::smallint
              AND retry = (lane->>'Retry')::boolean
              AND finished IS NULL AND NOT held AND due <= $1 AND (leased IS NULL OR leased <= $1) AND NOT ($5 AND expires <= $1)
            ORDER BY due, id, n LIMIT least((lane->>'N')::integer, $3) FOR UPDATE SKIP LOCKED) j
    ), anywhere AS MATERIALIZED (
        SELECT id, n, 1, 0, -priority, due FROM jobs
        WHERE $6 IS NULL AND finished IS NULL AND NOT held AND due <= $1 AND (leased IS NULL OR leased <= $1)
          AND NOT ($5 AND expires <= $1)
        ORDER BY priority DESC, due, id, n LIMIT $3 FOR UPDATE SKIP LOCKED
    ), chosen AS (
        SELECT *, row_number() OVER (ORDER BY step, lane, priority, at, id, n) AS place
        FROM (SELECT * FROM expired UNION ALL SELECT * FROM taken UNION ALL SELECT * FROM anywhere) every
        ORDER BY place LIMIT $3
    ), claimed AS (
        UPDATE jobs j SET token = nextval('tokens'), leased = $1 + $2, holder = $4, lapses = lapses + (token IS NOT NULL)::integer
        FROM chosen c WHERE (j.id, j.n) = (c.id, c.n)
        RETURNING j.*, c.place
    )
    SELECT claimed.*, m.data AS message FROM claimed JOIN messages m USING (id) ORDER BY place;

-- Claim with Keys: now, lease, limit, holder, [{"ID", "N"}, ...].
PREPARE claim_keys(timestamptz, interval, integer, text, jsonb) AS
    WITH chosen AS MATERIALIZED (
        SELECT j.id, j.n, k.i AS place
        FROM (SELECT key->>'ID' AS id, (key->>'N')::integer AS n, min(i) AS i
              FROM jsonb_array_elements($5) WITH ORDINALITY AS list(key, i) GROUP BY 1, 2) k
        CROSS JOIN LATERAL (SELECT id, n FROM jobs WHERE id = k.id AND n = k.n AND finished IS NULL
                            AND (leased IS NULL OR leased <= $1) FOR UPDATE SKIP LOCKED) j
        ORDER BY place LIMIT $3
    ), claimed AS (
        UPDATE jobs j SET token = nextval('tokens'), leased = $1 + $2, holder = $4, lapses = lapses + (token IS NOT NULL)::integer
        FROM chosen c WHERE (j.id, j.n) = (c.id, c.n)
        RETURNING j.*, c.place
    )
    SELECT claimed.*, m.data AS message FROM claimed JOIN messages m USING (id) ORDER BY place;

-- Claimed.Next and Claimed.Lanes, in the transaction of the claim and after it: now, expired, lanes. The first row is Next,
-- the others are Lanes. A job of a lane is found by two index look-ups: the first that isn't leased, the first lease to end.
PREPARE next(timestamptz, boolean, jsonb) AS
    WITH lanes AS (
        SELECT i, (SELECT min(at) FROM (
            (SELECT due AS at FROM jobs WHERE domain = lane->>'Domain' AND tenant = lane->>'Tenant'
               AND priority = (lane->>'Priority')::smallint AND retry = (lane->>'Retry')::boolean
               AND finished IS NULL AND NOT held AND (leased IS NULL OR leased <= $1)
             ORDER BY due LIMIT 1)
            UNION ALL
            (SELECT min(greatest(due, leased)) FROM jobs WHERE domain = lane->>'Domain' AND tenant = lane->>'Tenant'
               AND priority = (lane->>'Priority')::smallint AND retry = (lane->>'Retry')::boolean
               AND finished IS NULL AND NOT held AND leased > $1)) a) AS at
        FROM jsonb_array_elements($3) WITH ORDINALITY AS l(lane, i)
    ), anywhere AS (
        SELECT min(greatest(due, leased)) AS at FROM jobs WHERE $3 IS NULL AND finished IS NULL AND NOT held
    ), expiring AS (
        SELECT min(greatest(expires, leased)) AS at FROM jobs WHERE $2 AND finished IS NULL
    )
    SELECT 0 AS i, min(at) AS at FROM (SELECT at FROM lanes UNION ALL SELECT at FROM anywhere UNION ALL SELECT at FROM expiring) a
    UNION ALL SELECT i, at FROM lanes ORDER BY i;

-- Commit is one transaction: owner, replace if that says 'leased', finish if the job is finished, and put_message and put_jobs
-- for each of more. 'repeated' means that it was stored before, and no row that the lease is lost.
PREPARE owner(text, integer, bigint) AS -- id, n, token
    SELECT CASE WHEN token = $3 THEN 'leased' ELSE 'repeated' END FROM jobs
    WHERE id = $1 AND n = $2 AND $3 IN (token, spent) FOR UPDATE;
PREPARE replace(text, integer, bigint, jsonb) AS -- id, n, token, queue.Job
    WITH fresh AS (SELECT marked($4->'Recipients', recipients, first_mark()) AS recipients FROM jobs WHERE id = $1 AND n = $2)
    UPDATE jobs SET
        due = coalesce(moment($4->>'Due'), '-infinity'), finished = moment($4->>'Finished'),
        held = ($4->>'Held')::boolean, retry = ($4->>'Tries')::bigint > 0, recipients = fresh.recipients, mark = greatest_mark(fresh.recipients),
        lapses = ($4->>'Lapses')::integer,
        data = jsonb_build_object('Attempts', $4->'Attempts', 'Tries', $4->'Tries', 'Via', $4->'Via'),
        token = NULL, leased = NULL, holder = NULL, spent = $3
    FROM fresh WHERE id = $1 AND n = $2 AND token = $3;
PREPARE finish(text) AS
    WITH last AS (UPDATE messages SET unfinished = unfinished - 1 WHERE id = $1 RETURNING body, unfinished)
    DELETE FROM bodies WHERE body = (SELECT body FROM last WHERE unfinished = 0);

-- Open, and each Read that needs another chunk. No row of the second means the end; that is io.EOF only after Size octets.
PREPARE open(text) AS SELECT body, (data->>'Size')::bigint FROM messages WHERE id = $1 AND body IS NOT NULL;
PREPARE read(bigint, integer) AS SELECT n, octets FROM chunks WHERE body = $1 AND n > $2 ORDER BY n LIMIT 1;

-- Jobs, a page at a time: id, domain, tenant, sender, recipient, label (each null for all), unfinished, after (id, n), limit.
PREPARE jobs(text, text, text, text, text, text, boolean, text, integer, integer) AS
    SELECT j.*, m.data AS message FROM jobs j JOIN messages m USING (id)
    WHERE ($1 IS NULL OR id = $1) AND ($2 IS NULL OR domain = $2) AND ($3 IS NULL OR tenant = $3) AND ($4 IS NULL OR sender = $4)
      AND ($5 IS NULL OR recipients @> jsonb_build_array(jsonb_build_object('Address', $5))) AND ($6 IS NULL OR labels @> ARRAY[$6])
      AND (NOT $7 OR finished IS NULL) AND (id, n) > ($8 COLLATE "C", $9)
    ORDER BY id, n LIMIT $10;
PREPARE heads AS -- the other fields of the filter go around it
    SELECT DISTINCT ON (domain, tenant, priority, retry) j.*, m.data AS message FROM jobs j JOIN messages m USING (id)
    WHERE finished IS NULL AND NOT held
    ORDER BY domain, tenant, priority, retry, greatest(due, leased), due, id, n;
PREPARE ended(bigint, integer) AS -- since, limit
    SELECT j.*, m.data AS message FROM jobs j JOIN messages m USING (id)
    WHERE mark > $1 AND mark < settled() ORDER BY mark LIMIT $2;

-- Depths: now. It goes through the unfinished jobs, a second or so for a million, so it is not to be asked all the time.
PREPARE depths(timestamptz) AS
    SELECT domain, tenant, priority, retry,
           count(*) FILTER (WHERE NOT away AND NOT held) AS waiting,
           count(*) FILTER (WHERE away) AS leased,
           count(*) FILTER (WHERE NOT away AND held) AS held,
           min(due) FILTER (WHERE NOT away AND NOT held) AS due
    FROM (SELECT *, leased IS NOT NULL AND leased > $1 AS away FROM jobs WHERE finished IS NULL) unfinished
    GROUP BY domain, tenant, priority, retry ORDER BY domain, tenant, priority, retry;

-- Notes.
CREATE TABLE notes (key bytea PRIMARY KEY, value bytea NOT NULL);
PREPARE get_note(bytea) AS SELECT value FROM notes WHERE key = $1;
PREPARE set_note(bytea, bytea) AS INSERT INTO notes VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
PREPARE remove_note(bytea) AS DELETE FROM notes WHERE key = $1;
PREPARE note_keys(bytea, bytea, integer) AS -- prefix, the last key read, limit
    SELECT key FROM notes WHERE key > $2 AND key >= $1 AND substring(key FOR length($1)) = $1 ORDER BY key LIMIT $3;

-- Shared. want is the number of slots that the holder would use if it were alone; each of the k holders of a site has a k-th
-- of its own number, rounded such that holders who want the same never have more than that together.
CREATE TABLE holders (holder text COLLATE "C" PRIMARY KEY, until timestamptz NOT NULL, want jsonb NOT NULL);
PREPARE now AS SELECT clock_timestamp();
PREPARE beat(text, interval, jsonb) AS -- holder, ttl, want
    INSERT INTO holders VALUES ($1, clock_timestamp() + $2, $3)
    ON CONFLICT (holder) DO UPDATE SET until = excluded.until, want = excluded.want;
PREPARE free AS -- what silent holders had
    WITH silent AS (DELETE FROM holders WHERE until < clock_timestamp() RETURNING holder)
    UPDATE jobs SET leased = NULL WHERE finished IS NULL AND holder IN (SELECT holder FROM silent);
PREPARE have(text) AS
    SELECT site, (want + k - place) / k AS have FROM (
        SELECT holder, key AS site, value::integer AS want, count(*) OVER (PARTITION BY key) AS k,
               row_number() OVER (PARTITION BY key ORDER BY holder) AS place
        FROM holders, jsonb_each_text(want)) shares
    WHERE holder = $1;
