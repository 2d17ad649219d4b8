-- As next.sql, for any lane: $1 whether expired ones, too.
WITH RECURSIVE priorities AS (
    (SELECT priority, due FROM postroad.jobs WHERE finished IS NULL AND leased IS NULL AND NOT held AND lapses >= 0
     ORDER BY priority DESC, due LIMIT 1)
    UNION ALL
    SELECT j.priority, j.due FROM priorities p CROSS JOIN LATERAL (
        SELECT priority, due FROM postroad.jobs
        WHERE finished IS NULL AND leased IS NULL AND NOT held AND lapses >= 0 AND priority < p.priority
        ORDER BY priority DESC, due LIMIT 1) j
)
SELECT 0 AS i, least(
    (SELECT expires FROM postroad.jobs
     WHERE $1::boolean AND finished IS NULL AND leased IS NULL AND n >= 0 ORDER BY expires LIMIT 1),
    (SELECT min(greatest(expires, leased)) FROM postroad.jobs WHERE $1::boolean AND leased IS NOT NULL AND n >= 0),
    (SELECT min(due) FROM priorities),
    (SELECT min(greatest(due, leased)) FROM postroad.jobs WHERE leased IS NOT NULL AND n >= 0 AND NOT held)
) AS at
