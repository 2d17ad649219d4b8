-- $1 is alive: it wants $3 and has $4 for $2 seconds.
INSERT INTO postroad.holders (holder, until, want, have)
VALUES ($1::text, clock_timestamp() + $2::double precision * interval '1 second', $3::jsonb, $4::jsonb)
ON CONFLICT (holder) DO UPDATE SET until = excluded.until, want = excluded.want, have = excluded.have
