-- The body of an unfinished message, with its first pieces.
SELECT m.body, m.size, c.n, c.octets FROM postroad.messages m LEFT JOIN LATERAL (
    SELECT n, octets FROM postroad.chunks WHERE body = m.body ORDER BY n LIMIT 32) c ON true
WHERE m.id = $1::text AND m.unfinished > 0 ORDER BY c.n
