-- What has ended after $1, at most $2 rows, as far as it is settled: below the mark of the oldest transaction that is still running,
-- since marks begin with the number of the transaction that gives them. Nothing can come before that any more.
SELECT :columns, e.mark
FROM (SELECT * FROM postroad.ended
      WHERE mark > $1::bigint
        AND mark < (SELECT (epoch + pg_snapshot_xmin(pg_current_snapshot())::text::bigint) * 1048576 FROM postroad.version)
      ORDER BY mark LIMIT $2::integer) e
CROSS JOIN LATERAL (SELECT * FROM postroad.jobs WHERE id = e.id AND n = e.n) j
CROSS JOIN LATERAL (SELECT * FROM postroad.messages WHERE id = e.id) m
ORDER BY e.mark
