-- When time alone makes more jobs claimable: $1 whether because they have expired, $2 the lanes as an array. Row 0 is about expired
-- ones, the others are about lanes. Of leased jobs, the first by its first time is a bound, and only those before it are looked at.
SELECT 0 AS i, least(
    (SELECT expires FROM postroad.jobs
     WHERE $1::boolean AND finished IS NULL AND leased IS NULL AND n >= 0 ORDER BY expires LIMIT 1),
    bound.at,
    (SELECT min(greatest(expires, leased)) FROM postroad.jobs WHERE leased IS NOT NULL AND n >= 0 AND expires < bound.at)
) AS at
FROM (SELECT (SELECT greatest(expires, leased) FROM postroad.jobs
              WHERE $1::boolean AND leased IS NOT NULL AND n >= 0 ORDER BY expires LIMIT 1) AS at OFFSET 0) bound
UNION ALL
SELECT l.i, least(
    (SELECT due FROM postroad.jobs
     WHERE lane = l.lane AND retry = l.retry AND finished IS NULL AND leased IS NULL AND NOT held AND tries >= 0 ORDER BY due LIMIT 1),
    bound.at,
    (SELECT min(greatest(due, leased)) FROM postroad.jobs
     WHERE lane = l.lane AND retry = l.retry AND NOT held AND tries >= 0 AND leased < bound.at))
FROM json_to_recordset($2::json) AS l (i integer, lane uuid, retry boolean)
CROSS JOIN LATERAL (
    SELECT (SELECT greatest(due, leased) FROM postroad.jobs
            WHERE lane = l.lane AND retry = l.retry AND NOT held AND tries >= 0 AND leased IS NOT NULL ORDER BY leased LIMIT 1) AS at OFFSET 0
) bound
