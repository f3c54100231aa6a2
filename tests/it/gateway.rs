//! The gateway in process, with the real services behind it: each path, each refusal.

mod bed;
mod components;
mod interfaces;
mod refusals;
mod streams;
mod views;
