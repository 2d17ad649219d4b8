-- Removes a draft, with what was written of it.
WITH gone AS (
    DELETE FROM postroad.drafts WHERE body = $1::bigint RETURNING body
)
DELETE FROM postroad.chunks WHERE body IN (SELECT body FROM gone)
