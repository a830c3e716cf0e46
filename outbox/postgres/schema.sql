CREATE TABLE IF NOT EXISTS enoki_outbox (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source  text NOT NULL,
	event   text NOT NULL,
	message text NOT NULL,
	added   timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS enoki_inbox (
	key     text PRIMARY KEY,
	handled timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS enoki_inbox_handled ON enoki_inbox (handled);
