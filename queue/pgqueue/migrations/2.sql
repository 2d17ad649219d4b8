-- Pieces of bodies are compressed where the server can do it by LZ4, as PostgreSQL 14 and later can that are built with it. Most mail is
-- text, and takes fewer pages and less WAL than the time to compress it is worth; what doesn't get smaller stays as it is. PGLZ
-- would take longer than it saves.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        EXECUTE 'ALTER TABLE postroad.chunks ALTER COLUMN octets SET STORAGE MAIN, ALTER COLUMN octets SET COMPRESSION lz4';
    END IF;
END
$$;
