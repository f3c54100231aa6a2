//! Every role over a connection to the broker that is lost repeatedly: at the end nothing is missing and everything works.

mod changes;
mod dead_letters;
mod fixture;
mod gateway;
mod lines;
mod order;
mod plain;
mod roles;
mod stalls;
mod streams;
mod subscriptions;
