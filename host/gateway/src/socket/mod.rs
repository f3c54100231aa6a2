//! WebSockets: the upgrade, the connection, and what all of them have in common. Their protocols are in `routes/`.

mod connection;
mod counted;
mod end;
mod frames;
mod upgrade;

pub(crate) use connection::{Connection, Gone, PeerMessage};
pub(crate) use end::End;
pub(crate) use frames::{Place, Refused, RequestedService, SocketRequest, answer, error, read, service_answer};
pub(crate) use upgrade::Upgrade;
