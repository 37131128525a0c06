//! The stories, by what they are about.

mod actions;
mod bad_input;
mod books;
mod by_shipment;
mod crash_order;
mod crash_payment;
mod datacentres;
mod dead_letters;
mod drills;
mod events;
mod feed;
mod fulfil;
mod histories;
mod lifecycle;
mod money;
mod order_feed;
mod order_histories;
mod promotions;
mod purchase;
mod returns;
mod settlement;
mod tenders;
mod trust;
mod webhooks;
