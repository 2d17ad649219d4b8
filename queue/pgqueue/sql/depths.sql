-- How many unfinished jobs each lane has at $1.
SELECT min(domain), min(tenant), min(priority), retry,
    count(*) FILTER (WHERE NOT away AND NOT held), count(*) FILTER (WHERE away), count(*) FILTER (WHERE NOT away AND held),
    min(due) FILTER (WHERE NOT away AND NOT held)
FROM (
    SELECT lane, retry, domain, tenant, priority, held, due, false AS away FROM postroad.jobs
    WHERE finished IS NULL AND leased IS NULL AND n >= 0
    UNION ALL
    SELECT lane, retry, domain, tenant, priority, held, due, leased > $1::timestamptz FROM postroad.jobs
    WHERE leased IS NOT NULL AND n >= 0
) unfinished GROUP BY lane, retry
