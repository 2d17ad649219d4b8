SELECT value FROM postroad.notes WHERE key = $1::bytea
