-- What waits to be published has rows of its own, so that publishing writes no event a second time: a mark in the event's row would
-- copy it, payload and all, into a new version with new entries in every index. The same text in every service.

-- Nobody writes an event between what is copied and what the trigger sees.
LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE;

CREATE TABLE outbox_waiting (
    position bigint NOT NULL CONSTRAINT outbox_waiting_once PRIMARY KEY
);
INSERT INTO outbox_waiting SELECT position FROM outbox WHERE published_at IS NULL;
-- Dropping the column drops the two indexes on it.
ALTER TABLE outbox DROP COLUMN published_at;
-- Whoever writes an event makes it wait, a process of the program before this one too.
CREATE FUNCTION outbox_waits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox_waiting SELECT position FROM written;
    RETURN NULL;
END
$$;
CREATE TRIGGER outbox_waits AFTER INSERT ON outbox
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION outbox_waits();
-- Ids are random: nothing looks an event up by its id here.
ALTER TABLE outbox DROP CONSTRAINT outbox_event_once;

-- When the stream was made that has had all that was published. One made later has been lost in between.
CREATE TABLE outbox_stream (
    name    text NOT NULL CONSTRAINT outbox_stream_once PRIMARY KEY,
    made_at timestamptz NOT NULL
);
