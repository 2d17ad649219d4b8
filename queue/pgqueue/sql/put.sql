-- Stores messages with their jobs. $1 is an array of messages, $2 one of jobs, $3 the bodies, one behind the other. It returns
-- the numbers of the messages that were not stored before.
WITH given AS MATERIALIZED (
    SELECT g.*, coalesce(g.draft, nextval('postroad.numbers')) AS body
    FROM :rows(postroad.given_message, $1) AS g
    WHERE g.draft IS NULL OR EXISTS (SELECT FROM postroad.drafts d WHERE d.body = g.draft)
), stored AS (
    INSERT INTO postroad.messages (id, digest, sender, tenant, priority, labels, size, enqueued, expires, utf8, eight_bit, ret,
        envelope, tls, body, unfinished, ended)
    SELECT id, digest, sender, tenant, priority, labels, size, enqueued, expires, utf8, eight_bit, ret,
        envelope, tls, body, unfinished, ended
    FROM given ORDER BY id, i
    ON CONFLICT (id) DO NOTHING RETURNING body
), added AS MATERIALIZED (
    SELECT given.* FROM given JOIN stored ON stored.body = given.body
), pieces AS ( -- what Head returned comes before a body that was written ahead
    SELECT added.*, (length + 7999) / 8000 AS count FROM added WHERE length > 0
), chunked AS (
    INSERT INTO postroad.chunks (body, n, octets)
    SELECT body, CASE WHEN draft IS NULL THEN c ELSE c - count END,
        substring($3::bytea FROM "at" + 8000 * c + 1 FOR least(8000, length - 8000 * c))
    FROM pieces CROSS JOIN LATERAL generate_series(0, count - 1) AS c
), adopted AS (
    DELETE FROM postroad.drafts WHERE body IN (SELECT draft FROM added WHERE draft IS NOT NULL)
), origin AS ( -- of the marks of this transaction; it may have given some before
    SELECT coalesce((SELECT max(mark) FROM postroad.ended WHERE mark > zero AND mark < zero + 1048576), zero) AS mark
    FROM (SELECT (epoch + pg_current_xact_id()::text::bigint) * 1048576 AS zero FROM postroad.version) v
), listed AS MATERIALIZED (
    SELECT a.id, a.tenant, a.priority, a.expires, j.n, j.lane, j.domain, j.due, j.finished, j.held, j.via, j.tries,
        j.recipients, j.attempts, j.marks, j.leased, j.holder, j.token,
        CASE WHEN j.marks IS NOT NULL THEN (SELECT mark FROM origin) END AS origin
    FROM :rows(postroad.given_job, $2) AS j
    JOIN added a ON a.i = j.i
), filed AS (
    INSERT INTO postroad.jobs (id, n, lane, domain, tenant, priority, retry, expires, due, finished, held, via, tries, recipients,
        attempts, leased, holder, token, marks)
    SELECT id, n, lane, domain, tenant, priority, tries > 0, expires, due, finished, held, via, tries, recipients, attempts,
        leased, holder, token, CASE WHEN origin IS NOT NULL THEN ARRAY(
            SELECT CASE WHEN m > 0 THEN origin + m ELSE 0 END FROM unnest(marks) WITH ORDINALITY AS u (m, k) ORDER BY k) END
    FROM listed
), placed AS (
    INSERT INTO postroad.ended (mark, id, n)
    SELECT origin + (SELECT max(m) FROM unnest(marks) AS m), id, n FROM listed WHERE origin IS NOT NULL
)
SELECT i FROM added
