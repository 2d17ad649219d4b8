-- Stores messages with their jobs. $1 is a list of messages, $2 one of jobs, $3 the bodies, one behind the other. It returns
-- the numbers of the messages that were not stored before.
WITH given AS MATERIALIZED (
    SELECT g.*, coalesce(g.draft, nextval('postroad.numbers')) AS body
    FROM :rows(postroad.given_message, $1) AS g
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
), filed AS ( -- marks are counted from 1 until mark.sql has given them
    INSERT INTO postroad.jobs (id, n, lane, domain, tenant, priority, retry, expires, due, finished, held, via, tries, recipients,
        attempts, leased, holder, token, marks)
    SELECT a.id, j.n, j.lane, j.domain, a.tenant, a.priority, j.tries > 0, a.expires, j.due, j.finished, j.held, j.via, j.tries,
        j.recipients, j.attempts, j.leased, j.holder, j.token, j.marks
    FROM :rows(postroad.given_job, $2) AS j JOIN added a ON a.i = j.i
)
SELECT i FROM added
