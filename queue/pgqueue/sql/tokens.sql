-- Draws $1 tokens.
SELECT nextval('postroad.tokens') FROM generate_series(1, $1::integer)
