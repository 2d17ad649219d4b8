-- Has the drafts $1, an array, belong to messages.
DELETE FROM postroad.drafts WHERE body = ANY (ARRAY(SELECT json_array_elements_text($1::json)::bigint))
