-- The digest of a stored message.
SELECT digest FROM postroad.messages WHERE id = $1::text
