-- Deletes at most $2 messages that ended more than $1 seconds ago.
WITH old AS MATERIALIZED (
    SELECT id, body FROM postroad.messages
    WHERE ended < clock_timestamp() - $1::double precision * interval '1 second'
    ORDER BY ended LIMIT $2::integer FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM postroad.jobs WHERE id = ANY (ARRAY(SELECT id FROM old)) RETURNING marks
), chunked AS ( -- of a message that had no unfinished job when it was enqueued
    DELETE FROM postroad.chunks WHERE body = ANY (ARRAY(SELECT body FROM old))
), places AS (
    DELETE FROM postroad.ended WHERE mark = ANY (ARRAY(SELECT m FROM gone, unnest(gone.marks) AS m WHERE m > 0))
), deleted AS (
    DELETE FROM postroad.messages WHERE id = ANY (ARRAY(SELECT id FROM old))
)
SELECT count(*) FROM old
