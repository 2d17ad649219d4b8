-- The bodies of unfinished messages, each with its first pieces: $1 is a list of messages, $2 how many pieces of each.
SELECT l.i::integer, m.body, m.size, c.n, c.octets FROM json_array_elements_text($1::json) WITH ORDINALITY AS l (id, i)
CROSS JOIN LATERAL (SELECT body, size FROM postroad.messages WHERE id = l.id AND unfinished > 0 LIMIT 1) m
LEFT JOIN LATERAL (SELECT n, octets FROM postroad.chunks WHERE body = m.body ORDER BY n LIMIT $2::integer) c ON true
ORDER BY l.i, c.n
