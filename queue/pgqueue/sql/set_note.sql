INSERT INTO postroad.notes (key, value) VALUES ($1::bytea, $2::bytea) ON CONFLICT (key) DO UPDATE SET value = excluded.value
