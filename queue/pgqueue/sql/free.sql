-- Takes leave of holders other than $1 that have been silent for too long, and frees their leases.
WITH silent AS (
    DELETE FROM postroad.holders WHERE until < clock_timestamp() AND holder <> $1::text RETURNING holder
)
UPDATE postroad.jobs SET leased = NULL WHERE leased IS NOT NULL AND holder IN (SELECT holder FROM silent)
