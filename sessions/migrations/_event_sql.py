"""Copy of the function by which PostgreSQL appends events, for migrations."""

APPEND_FUNCTION = """
CREATE OR REPLACE FUNCTION avatar_sessions_append(
    of_session uuid, its_number integer, its_source varchar, its_kind varchar, its_data jsonb, its_at timestamptz,
    its_prints varchar, before varchar, its_hash varchar, head_signature varchar
) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    PERFORM 1 FROM avatar_sessions_streamingsession WHERE id = of_session AND status <> 'ended' FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM avatar_sessions_sessionevent WHERE session_id = of_session AND number >= its_number) THEN
        RETURN false;
    END IF;
    UPDATE avatar_sessions_sessionhead SET number = its_number, hash = its_hash, signature = head_signature
        WHERE session_id = of_session AND number = its_number - 1 AND hash = before;
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO avatar_sessions_sessionevent (session_id, number, source, kind, data, at, prints, previous_hash, hash)
        VALUES (of_session, its_number, its_source, its_kind, its_data, its_at, its_prints, before, its_hash);
    RETURN true;
END $$
"""
