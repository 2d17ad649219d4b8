-- Begins to write a body ahead. Returns its number.
INSERT INTO postroad.drafts (body) VALUES (nextval('postroad.numbers')) RETURNING body
