-- Whether $3 is the token of the latest commit of a job.
SELECT spent = $3::bigint FROM postroad.jobs WHERE id = $1::text AND n = $2::bigint
