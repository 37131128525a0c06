-- Several providers: whom a payment turns to when the one before cannot, in turn. Chosen with the payment, so that another configuration
-- changes nothing about one that is under way.

ALTER TABLE payment_intent ADD COLUMN fallbacks text[] NOT NULL DEFAULT '{}';
