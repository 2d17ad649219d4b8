-- Leases jobs by key: $1 is now, $2 the end of the lease, $3 how many, $4 the holder, $5 the keys as an array, $6 tokens for
-- the first of them.
WITH chosen AS MATERIALIZED (
    SELECT j.id, j.n, (row_number() OVER (ORDER BY k.i))::integer AS place
    FROM (SELECT id, n, min(i) AS i FROM json_to_recordset($5::json) AS k (i integer, id text, n bigint) GROUP BY id, n) k
    CROSS JOIN LATERAL (
        SELECT id, n FROM postroad.jobs
        WHERE id = k.id AND n = k.n AND finished IS NULL AND (leased IS NULL OR leased <= $1::timestamptz)
        FOR UPDATE SKIP LOCKED
    ) j ORDER BY place LIMIT $3::integer
), claimed AS (
    UPDATE postroad.jobs j SET token = coalesce(($6::bigint[])[c.place], nextval('postroad.tokens')),
        leased = $2::timestamptz, holder = $4::text,
        lapses = lapses + CASE WHEN token IS NULL THEN 0 ELSE 1 END
    FROM chosen c
    WHERE j.id = ANY (ARRAY(SELECT id FROM chosen)) AND j.n = ANY (ARRAY(SELECT n FROM chosen)) AND j.id = c.id AND j.n = c.n
    RETURNING j.*, c.place
)
SELECT :columns FROM claimed j CROSS JOIN LATERAL (SELECT * FROM postroad.messages WHERE id = j.id LIMIT 1) m ORDER BY j.place
