-- Ends leases that nobody was told of: $1 is an array of their tokens. The order and the arrays keep the planner to the index of what is
-- leased, and to the key. A row that is locked is being claimed after the end of the lease.
WITH untold AS MATERIALIZED (
    SELECT id, n FROM postroad.jobs
    WHERE leased IS NOT NULL AND n >= 0 AND token = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint))
    ORDER BY expires, id, n LIMIT 1000 FOR UPDATE SKIP LOCKED
)
UPDATE postroad.jobs j SET leased = NULL, holder = NULL, token = NULL
FROM untold u
WHERE j.id = ANY (ARRAY(SELECT id FROM untold)) AND j.n = ANY (ARRAY(SELECT n FROM untold)) AND j.id = u.id AND j.n = u.n
