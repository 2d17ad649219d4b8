-- Stores jobs and ends their leases: $1 is an array of jobs, each with its token, which recipients are final (null for none), and
-- how many recipients of the jobs before end with this statement. Returns the numbers of those whose token was that of the latest
-- claim, and not spent.
WITH origin AS ( -- of the marks of this transaction
    SELECT (epoch + pg_current_xact_id()::text::bigint) * 1048576 AS mark FROM postroad.version
), given AS MATERIALIZED (
    SELECT g.* FROM :rows(postroad.outcome, $1) AS g
), done AS ( -- the arrays keep the planner to the key
    UPDATE postroad.jobs j SET
        due = g.due, finished = g.finished, held = g.held, via = g.via, tries = g.tries,
        retry = g.tries > 0, lapses = g.lapses, recipients = g.recipients, attempts = g.attempts,
        marks = CASE WHEN g.final IS NOT NULL THEN ARRAY(
            SELECT CASE WHEN NOT final THEN 0 WHEN old > 0 THEN old
                   ELSE (SELECT mark FROM origin) + g.before + sum(CASE WHEN final AND old = 0 THEN 1 ELSE 0 END) OVER (ORDER BY k) END
            FROM (SELECT u.final, k, coalesce(j.marks[k::integer], 0) AS old
                  FROM unnest(g.final) WITH ORDINALITY AS u (final, k)) r ORDER BY k) END,
        leased = NULL, holder = NULL, token = NULL, spent = g.token
    FROM given g
    WHERE j.id = ANY (ARRAY(SELECT id FROM given)) AND j.n = ANY (ARRAY(SELECT n FROM given))
        AND j.id = g.id AND j.n = g.n AND j.token = g.token
    RETURNING g.i, j.id, j.n, j.marks, j.finished
), placed AS (
    INSERT INTO postroad.ended (mark, id, n)
    SELECT latest, id, n FROM (SELECT id, n, (SELECT max(m) FROM unnest(marks) AS m) AS latest FROM done) d
    WHERE latest > (SELECT mark FROM origin)
), fewer AS MATERIALIZED (
    SELECT id, count(*) AS jobs, max(finished) AS finished FROM done WHERE finished IS NOT NULL GROUP BY id ORDER BY id
), last AS (
    UPDATE postroad.messages m SET unfinished = m.unfinished - f.jobs, ended = CASE WHEN m.unfinished = f.jobs THEN f.finished END
    FROM fewer f
    WHERE m.id = f.id
    RETURNING m.body, m.unfinished
), gone AS (
    DELETE FROM postroad.chunks WHERE body = ANY (ARRAY(SELECT body FROM last WHERE unfinished = 0))
)
SELECT i FROM done
