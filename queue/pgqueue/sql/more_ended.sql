-- Whether something has ended after $1, be it settled or not; see ended.sql.
SELECT EXISTS (SELECT FROM postroad.ended WHERE mark > $1::bigint)
