-- The pieces of the body $1 that follow on $2.
SELECT n, octets FROM postroad.chunks WHERE body = $1::bigint AND n > $2::integer ORDER BY n LIMIT 32
