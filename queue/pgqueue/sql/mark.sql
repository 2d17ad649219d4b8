-- Gives marks to the recipients that had ended when this transaction stored the messages $1, an array of their IDs: they were counted.
WITH origin AS ( -- this transaction may have given some before
    SELECT coalesce((SELECT max(mark) FROM postroad.ended WHERE mark > zero AND mark < zero + 1048576), zero) AS mark
    FROM (SELECT (epoch + pg_current_xact_id()::text::bigint) * 1048576 AS zero FROM postroad.version) v
), marked AS (
    UPDATE postroad.jobs SET marks = ARRAY(
        SELECT CASE WHEN m > 0 THEN (SELECT mark FROM origin) + m ELSE 0 END FROM unnest(marks) WITH ORDINALITY AS u (m, k) ORDER BY k)
    WHERE id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND marks IS NOT NULL
    RETURNING id, n, marks
)
INSERT INTO postroad.ended (mark, id, n)
SELECT (SELECT max(m) FROM unnest(marks) AS m), id, n FROM marked
