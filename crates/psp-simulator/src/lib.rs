//! A payment provider that misbehaves on request. It listens on loopback in plain HTTP, keeps its own truth about who was charged
//! what, and is never deployed to production.
//!
//! Every command carries an `Idempotency-Key`: the same key with the same content gives the stored operation, with other content
//! 422. `payment` is the merchant's name for the payment; captures, voids and refunds name it.
//!
//! | call | body |
//! | --- | --- |
//! | `POST /v1/authorizations` | `{"payment", "amount_minor", "currency", "source"}` |
//! | `POST /v1/captures`, `/v1/refunds` | `{"payment", "amount_minor", "currency"}` |
//! | `POST /v1/voids` | `{"payment"}`: lets go of what is not captured; nothing authorised: closes the payment for good |
//! | `POST /v1/actions/{key}` | `{"outcome": "completed" or "failed"}`: what the payer does who was asked for something; `GET`: how it stands |
//! | `GET /v1/operations/{key}` | the operation that was done under this key; 404: nothing happened |
//! | `POST /v1/desk` | `{"payment", "what", "reference", "amount_minor"}`: what nobody asked for (`desk.rs`), told by webhook only |
//! | `GET /v1/truth/{payment}`, `GET /v1/truth` | amounts and how often each thing took effect, of one payment and of all |
//! | `GET /v1/settlement?batch=…` | the settlement file of that name (`settlement.rs`): a line a movement of money, `from_ms` to `until_ms` |
//! | `GET /healthz` | 200 |
//!
//! A command answers 200 with the operation when it succeeded, 402 with it when it was declined, and 202 when the payer has to do
//! something first: `action` says where (`url`) and until when (`expires_at_ms`, since 1970). An authorisation's own `expires_at_ms` is
//! until when it holds.
//!
//! Misbehaviour is scripted by the payment's token (`source`), one or more directives joined by `__`:
//!
//! | token | what happens to the authorisation |
//! | --- | --- |
//! | `tok_visa`, `tok_mastercard`, `tok_amex`, `tok_unionpay` | it succeeds |
//! | `tok_declined_<class>` | it is declined with that class, such as `insufficient_funds` or `do_not_honour` |
//! | `tok_declined_once_<class>` | it is declined with that class; another one of the same payment is good |
//! | `tok_timeout_before` | the first call has no effect and is never answered; the next one works |
//! | `tok_timeout_after` | the first call takes effect and is never answered; queries and repetitions are |
//! | `tok_slow_<ms>` | it takes effect, and is answered, that much later |
//! | `tok_error_500_once` | the first call has no effect and answers 500 |
//! | `tok_error_500_after` | the first call takes effect and answers 500 |
//! | `tok_outage`, `tok_outage_<ms>` | from the first call on, everything about the payment answers 503 for 5 s or that long |
//! | `tok_3ds`, `tok_3ds_<ms>` | the payer has to do something within 10 minutes or that long; what else the token says comes after |
//! | `tok_hold_<ms>` | what it holds lapses by itself that much later, as its `expires_at_ms` says; told by webhook |
//! | `tok_3ds_fails` | the same, and what he does fails |
//! | any other `tok_…` | declined as `invalid_token` |
//!
//! A directive that begins with `again_` is for every payment but the first that this token is used for, before all else that the token
//! says: `tok_hold_500__again_declined_lost_card`. `mark_<text>` does nothing: it tells tokens apart.
//!
//! A directive that begins with `at_a_` is for the provider named `simulator` alone, one with `at_b_` for `simulator-b` (`name`).
//!
//! With `webhook.url` and `webhook.key` every operation is told of by a webhook, signed `t=<unix seconds>,v1=<HMAC-SHA256 of "<t>.<body>">` in
//! the header `<name>-signature`, and sent again until it is answered with 2xx. A token says how, per step like the rest:
//!
//! | directive | what happens to the message |
//! | --- | --- |
//! | `webhook_never`, `webhook_twice` | it is not sent; it is sent twice |
//! | `webhook_early` | it is taken before the call is answered |
//! | `webhook_late_<ms>` | it is sent that much later |
//! | `webhook_reordered` | it comes after the next message about the payment |
//! | `webhook_wrong_amount` | it says one minor unit more than moved |
//!
//! A settlement file is wrong where it is asked to be: `missing`, `wrong` and `doubled` name the reference of a movement that has no line, a
//! minor unit too much or two lines, `alien` that of a capture that never was. `settlement.fee_bps` and
//! `settlement.dispute_fee_minor` say what the provider takes.
//!
//! The same behaviours for a later step carry its name: `tok_capture_timeout_after`, `tok_refund_declined_closed_account`,
//! `tok_void_slow_500`, and together: `tok_slow_50__capture_timeout_before`. Sources that are no `tok_…` (wallet sessions) succeed.

mod bank;
mod config;
mod desk;
mod http;
mod journal;
mod script;
mod settlement;
mod truth;
mod webhooks;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::Config;

/// Serves until `stop`; what the journal holds from an earlier life is still true.
///
/// # Errors
/// The port is in use, or the journal cannot be read or written.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen: cannot listen on {}", config.listen))?;
    let bank = bank::Bank::open(config.state.as_deref())?;
    let webhooks = webhooks::Webhooks::new(&config.name, config.webhook.as_ref(), stop.clone())?;
    let base = format!("http://{}", listener.local_addr()?);
    let provider = Arc::new(http::Provider::new(&config, base, bank, webhooks, stop.clone()));
    tracing::info!(address = %listener.local_addr()?, "the provider is open");
    axum::serve(listener, http::router(provider))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .context("serving HTTP")
}
