-- The first job of each of the $3 lanes that follow on the lane $1, $2.
WITH RECURSIVE free AS (
    SELECT f.* FROM (SELECT lane, retry FROM postroad.jobs
        WHERE finished IS NULL AND leased IS NULL AND NOT held AND tries >= 0 AND (lane, retry) > ($1::uuid, $2::boolean)
        ORDER BY lane, retry LIMIT 1) f
    UNION ALL
    SELECT n.lane, n.retry FROM free CROSS JOIN LATERAL (
        SELECT lane, retry FROM postroad.jobs
        WHERE finished IS NULL AND leased IS NULL AND NOT held AND tries >= 0 AND (lane, retry) > (free.lane, free.retry)
        ORDER BY lane, retry LIMIT 1) n
), lanes AS MATERIALIZED (
    SELECT lane, retry FROM (
        (SELECT lane, retry FROM free LIMIT $3::integer)
        UNION
        (SELECT DISTINCT lane, retry FROM postroad.jobs
         WHERE leased IS NOT NULL AND NOT held AND tries >= 0 AND (lane, retry) > ($1::uuid, $2::boolean) ORDER BY lane, retry LIMIT $3::integer)
    ) both_of ORDER BY lane, retry LIMIT $3::integer
)
SELECT :columns, j.lane::text
FROM lanes l CROSS JOIN LATERAL (
    SELECT * FROM (
        (SELECT * FROM postroad.jobs
         WHERE lane = l.lane AND retry = l.retry AND finished IS NULL AND leased IS NULL AND NOT held AND tries >= 0
         ORDER BY due, id, n LIMIT 1)
        UNION ALL
        (SELECT * FROM postroad.jobs
         WHERE lane = l.lane AND retry = l.retry AND leased IS NOT NULL AND NOT held AND tries >= 0
         ORDER BY greatest(due, leased), due, id, n LIMIT 1)
    ) both_of ORDER BY greatest(due, leased), due, id, n LIMIT 1
) j CROSS JOIN LATERAL (SELECT * FROM postroad.messages WHERE id = j.id LIMIT 1) m
ORDER BY l.lane, l.retry
