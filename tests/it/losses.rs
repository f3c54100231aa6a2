//! Every role over a connection to the broker that is lost again and again: at the end nothing is missing and everything works.

mod changes;
mod gateway;
mod letters;
mod lines;
mod order;
mod place;
mod plain;
mod roles;
mod stalls;
mod streams;
mod subscriptions;
