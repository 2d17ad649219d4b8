-- The keys with the prefix $1 that follow on $2, at most $3.
SELECT key FROM postroad.notes
WHERE key > $2::bytea AND key >= $1::bytea AND substring(key FROM 1 FOR length($1::bytea)) = $1::bytea
ORDER BY key LIMIT $3::integer
