-- Who works on the queue, but for $1 and those that have been silent.
SELECT holder, want, have FROM postroad.holders WHERE holder <> $1::text
