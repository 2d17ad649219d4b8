-- Leases jobs: $1 is now, $2 the end of the lease, $3 how many, $4 the holder, $5 whether expired ones, $6 the lanes as an array,
-- null for any, $7 tokens for the first of them. A row that another claim has locked is skipped: it will be that one's. Rows that are
-- locked and then cut off by the limit are free again at the end of the statement.
WITH expired AS MATERIALIZED (
    SELECT * FROM (
        SELECT * FROM (SELECT id, n, expires AS at FROM postroad.jobs
         WHERE $5::boolean AND finished IS NULL AND leased IS NULL AND n >= 0 AND expires <= $1::timestamptz
         ORDER BY expires, id, n LIMIT $3::integer FOR UPDATE SKIP LOCKED) free
        UNION ALL
        SELECT * FROM (SELECT id, n, expires FROM postroad.jobs
         WHERE $5::boolean AND leased <= $1::timestamptz AND n >= 0 AND expires <= $1::timestamptz
         ORDER BY expires, id, n LIMIT $3::integer FOR UPDATE SKIP LOCKED) lapsed
    ) both_of ORDER BY at, id, n LIMIT $3::integer
), room AS MATERIALIZED ( -- for what is due; if there is none, the lanes needn't be looked at
    SELECT ($3::integer - count(*))::integer AS jobs FROM expired
), taken AS MATERIALIZED (
    SELECT j.id, j.n, l.i, j.due AS at
    FROM room, json_to_recordset($6::json) AS l (i integer, lane uuid, retry boolean, n integer)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT * FROM (SELECT id, n, due FROM postroad.jobs
             WHERE lane = l.lane AND retry = l.retry AND finished IS NULL AND leased IS NULL AND NOT held AND tries >= 0
               AND due <= $1::timestamptz AND NOT ($5::boolean AND expires <= $1::timestamptz)
             ORDER BY due, id, n LIMIT least(l.n, room.jobs) FOR UPDATE SKIP LOCKED) free
            UNION ALL
            SELECT * FROM (SELECT id, n, due FROM postroad.jobs
             WHERE lane = l.lane AND retry = l.retry AND leased <= $1::timestamptz AND NOT held AND tries >= 0
               AND due <= $1::timestamptz AND NOT ($5::boolean AND expires <= $1::timestamptz)
             ORDER BY due, id, n LIMIT least(l.n, room.jobs) FOR UPDATE SKIP LOCKED) lapsed
        ) both_of ORDER BY due, id, n LIMIT least(l.n, room.jobs)
    ) j WHERE room.jobs > 0
), anywhere AS MATERIALIZED (
    SELECT * FROM (
        SELECT * FROM (SELECT id, n, -priority AS i, due AS at FROM postroad.jobs
         WHERE $6::json IS NULL AND finished IS NULL AND leased IS NULL AND NOT held AND lapses >= 0
           AND due <= $1::timestamptz AND NOT ($5::boolean AND expires <= $1::timestamptz)
         ORDER BY priority DESC, due, id, n LIMIT (SELECT jobs FROM room) FOR UPDATE SKIP LOCKED) free
        UNION ALL
        SELECT * FROM (SELECT id, n, -priority, due FROM postroad.jobs
         WHERE $6::json IS NULL AND leased <= $1::timestamptz AND NOT held AND tries >= 0
           AND due <= $1::timestamptz AND NOT ($5::boolean AND expires <= $1::timestamptz)
         ORDER BY priority DESC, due, id, n LIMIT (SELECT jobs FROM room) FOR UPDATE SKIP LOCKED) lapsed
    ) both_of
), chosen AS MATERIALIZED (
    SELECT id, n, (row_number() OVER (ORDER BY step, i, at, id, n))::integer AS place FROM (
        SELECT 0 AS step, 0 AS i, at, id, n FROM expired
        UNION ALL SELECT 1, i, at, id, n FROM taken
        UNION ALL SELECT 1, i, at, id, n FROM anywhere
    ) every ORDER BY place LIMIT $3::integer
), claimed AS ( -- the arrays keep the planner to the key, however many rows it expects to be chosen
    UPDATE postroad.jobs j SET token = coalesce(($7::bigint[])[c.place], nextval('postroad.tokens')),
        leased = $2::timestamptz, holder = $4::text,
        lapses = lapses + CASE WHEN token IS NULL THEN 0 ELSE 1 END
    FROM chosen c
    WHERE j.id = ANY (ARRAY(SELECT id FROM chosen)) AND j.n = ANY (ARRAY(SELECT n FROM chosen)) AND j.id = c.id AND j.n = c.n
    RETURNING j.*, c.place
)
SELECT :columns FROM claimed j CROSS JOIN LATERAL (SELECT * FROM postroad.messages WHERE id = j.id LIMIT 1) m ORDER BY j.place
