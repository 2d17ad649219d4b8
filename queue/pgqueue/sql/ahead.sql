-- Writes pieces of a body ahead: $1 is the draft, $2 the number of its first piece, $3 the octets. Returns nothing if the
-- draft is gone.
WITH touched AS (
    UPDATE postroad.drafts SET touched = clock_timestamp() WHERE body = $1::bigint RETURNING body
), chunked AS (
    INSERT INTO postroad.chunks (body, n, octets)
    SELECT body, $2::integer + c, substring($3::bytea FROM 8000 * c + 1 FOR 8000)
    FROM touched, generate_series(0, (length($3::bytea) - 1) / 8000) AS c
)
SELECT body FROM touched
