//! What must be true of settlement, in the words of `check`: the rules are written a second time here too.

use super::check::Question;

pub(super) const QUESTIONS: [Question; 4] = [
    (
        "a settlement is not booked as it is",
        "WITH stated AS (
             SELECT settlement_id, account, minor, currency FROM settlement_transfer, LATERAL (VALUES
                 ('bank', bank_minor), ('provider_fees', fee_minor), ('settlement_differences', difference_minor),
                 ('provider_receivable', -receivable_minor)) AS moved (account, minor) WHERE minor <> 0),
         booked AS (
             SELECT settlement_id, account, sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS minor, currency
             FROM ledger_entry WHERE settlement_id IS NOT NULL GROUP BY settlement_id, account, currency)
         SELECT settlement_id || ' ' || account FROM stated FULL JOIN booked USING (settlement_id, account, currency)
         WHERE stated.minor IS DISTINCT FROM booked.minor",
    ),
    (
        "a settlement is not its line's, its fact's or its decision's",
        "WITH owed (kind, told_as, sign) AS (VALUES
             ('CAPTURED', 'CAPTURE', 1), ('REFUND_REVERSED', 'REFUND_REVERSAL', 1), ('DISPUTE_CLOSED', 'DISPUTE_REVERSAL', 1),
             ('REFUNDED', 'REFUND', -1), ('DISPUTE_OPENED', 'DISPUTE', -1))
         SELECT t.settlement_id::text FROM settlement_transfer t
         LEFT JOIN settlement_line l ON l.position = t.line
         LEFT JOIN payment_event e ON e.event_id = t.event_id
         LEFT JOIN payment_intent i ON i.payment_id = e.payment_id
         LEFT JOIN owed o ON o.kind = e.kind
         LEFT JOIN settlement_resolution r ON r.resolution_id = t.resolution_id
         WHERE (t.bank_minor, t.fee_minor) IS DISTINCT FROM (coalesce(l.net_minor, 0), coalesce(l.fee_minor, 0))
            OR t.receivable_minor <> coalesce(o.sign * e.amount_minor, 0)
            OR t.provider <> coalesce(l.provider, t.provider) OR t.provider <> coalesce(e.provider, t.provider)
            OR t.currency <> coalesce(l.currency, t.currency) OR t.currency <> coalesce(i.currency, t.currency)
            OR (l.reference, l.kind) <> (e.provider_reference, o.told_as)
            OR (t.difference_minor <> 0 AND coalesce(r.decision, '') NOT IN ('TAKE_THEIRS', 'WRITE_OFF'))",
    ),
    (
        "what became of a line is not what is booked",
        "SELECT l.provider || ' ' || l.file_id || ' line ' || l.line FROM settlement_line l
         LEFT JOIN settlement_transfer t ON t.line = l.position
         JOIN settlement_file f ON (f.provider, f.file_id) = (l.provider, l.file_id)
         WHERE (t.settlement_id IS NOT NULL) <> (coalesce(l.outcome, '') IN ('MATCHED', 'TAKEN'))
            OR (f.state = 'DONE' AND l.judged_with = l.file_id AND l.outcome IS NULL)",
    ),
    (
        "what providers owe is not what was captured, less what was given back and settled",
        "WITH ledger AS (
             SELECT currency, sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS minor
             FROM ledger_entry WHERE account = 'provider_receivable' GROUP BY currency),
         facts AS (
             SELECT currency, sum(CASE WHEN kind IN ('CAPTURED', 'REFUND_REVERSED', 'DISPUTE_CLOSED') THEN e.amount_minor
                                       WHEN kind IN ('REFUNDED', 'DISPUTE_OPENED', 'CAPTURE_CORRECTED') THEN -e.amount_minor
                                       ELSE 0 END) AS minor
             FROM payment_event e JOIN payment_intent USING (payment_id) GROUP BY currency),
         settled AS (SELECT currency, sum(receivable_minor) AS minor FROM settlement_transfer GROUP BY currency)
         SELECT currency || ': ' || coalesce(ledger.minor, 0) || ' instead of ' || coalesce(facts.minor, 0) - coalesce(settled.minor, 0)
         FROM facts FULL JOIN ledger USING (currency) FULL JOIN settled USING (currency)
         WHERE coalesce(ledger.minor, 0) <> coalesce(facts.minor, 0) - coalesce(settled.minor, 0)",
    ),
];
