CREATE TABLE IF NOT EXISTS enoki_outbox (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source  text NOT NULL,
	event   text NOT NULL,
	message text NOT NULL,
	added   timestamptz NOT NULL DEFAULT now(),
	refused text -- why no broker takes it; NULL while it waits
);
DO $$ BEGIN -- a table from before the column; looked up first, since ALTER TABLE waits for every relay
	IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'enoki_outbox'::regclass AND attname = 'refused' AND NOT attisdropped) THEN
		ALTER TABLE enoki_outbox ADD COLUMN IF NOT EXISTS refused text;
	END IF;
END $$;
CREATE TABLE IF NOT EXISTS enoki_inbox (
	key     text PRIMARY KEY,
	handled timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS enoki_inbox_handled ON enoki_inbox (handled);
