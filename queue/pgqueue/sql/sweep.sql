-- Deletes at most $1 drafts that nobody has written to for a day: what a crash has left.
WITH old AS (
    DELETE FROM postroad.drafts WHERE body = ANY (ARRAY(
        SELECT body FROM postroad.drafts WHERE touched < clock_timestamp() - interval '1 day' LIMIT $1::integer FOR UPDATE SKIP LOCKED))
    RETURNING body
), gone AS (
    DELETE FROM postroad.chunks WHERE body = ANY (ARRAY(SELECT body FROM old))
)
SELECT count(*) FROM old
