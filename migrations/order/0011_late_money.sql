-- What is being given back of a payment that was given up, written before it is asked for: an answer that is lost is known for what it was.

ALTER TABLE given_up_payment ADD COLUMN giving_back_minor bigint
    CONSTRAINT given_up_payment_gives_something CHECK (giving_back_minor > 0);
