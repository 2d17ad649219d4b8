-- Which of the drafts $1, an array, are there. They will be until the end of the transaction.
SELECT body FROM postroad.drafts WHERE body = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint)) ORDER BY body FOR UPDATE
