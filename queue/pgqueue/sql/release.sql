-- Ends leases that nobody was told of: $1 is an array of keys and tokens. A row that is locked is being claimed after the end of the
-- lease. The arrays keep the planner to the key.
WITH untold AS MATERIALIZED (
    SELECT j.id, j.n FROM json_to_recordset($1::json) AS u (id text, n bigint, token bigint)
    CROSS JOIN LATERAL (
        SELECT id, n FROM postroad.jobs WHERE id = u.id AND n = u.n AND token = u.token FOR UPDATE SKIP LOCKED
    ) j
)
UPDATE postroad.jobs j SET leased = NULL, holder = NULL, token = NULL
FROM untold u
WHERE j.id = ANY (ARRAY(SELECT id FROM untold)) AND j.n = ANY (ARRAY(SELECT n FROM untold)) AND j.id = u.id AND j.n = u.n
