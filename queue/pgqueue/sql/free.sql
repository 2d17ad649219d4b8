-- Takes leave of holders other than $1 that have been silent for too long, and frees what is leased by any other that isn't alive:
-- a claim that was on its way when others took leave of its holder may have come later. The order and the arrays keep the planner
-- to the index of what is leased, and to the key. A row that is locked is being changed by somebody who is alive, or is freed
-- by the next Beat.
WITH living AS MATERIALIZED (
    SELECT holder FROM postroad.holders WHERE until >= clock_timestamp() OR holder = $1::text
), silent AS (
    DELETE FROM postroad.holders WHERE holder <> ALL (ARRAY(SELECT holder FROM living))
), lost AS MATERIALIZED (
    SELECT id, n FROM postroad.jobs
    WHERE leased IS NOT NULL AND n >= 0 AND holder NOT IN ('', $1::text) AND holder <> ALL (ARRAY(SELECT holder FROM living))
    ORDER BY expires, id, n LIMIT 10000 FOR UPDATE SKIP LOCKED
)
UPDATE postroad.jobs j SET leased = NULL
FROM lost l
WHERE j.id = ANY (ARRAY(SELECT id FROM lost)) AND j.n = ANY (ARRAY(SELECT n FROM lost)) AND j.id = l.id AND j.n = l.n
