//! One connection that can be lost.

use std::io;

use tokio::sync::watch;
use weir_pubsub::{Cause, PubsubError, Result};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// Incremented by every loss.
    number: u64,
    is_up: bool,
}

pub(super) struct Wire(watch::Sender<Connection>);

impl Wire {
    pub(super) fn new() -> Self {
        Wire(watch::Sender::new(Connection { number: 0, is_up: true }))
    }

    pub(super) fn down(&self) {
        self.0.send_modify(|connection| *connection = Connection { number: connection.number + 1, is_up: false });
    }

    pub(super) fn up(&self) {
        self.0.send_modify(|connection| connection.is_up = true);
    }

    /// The connection, if there is one.
    pub(super) fn connected(&self) -> Result<Connection> {
        let connection = *self.0.borrow();
        if connection.is_up { Ok(connection) } else { Err(lost()) }
    }

    pub(super) fn is_lost(&self, since: Connection) -> bool {
        self.0.borrow().number != since.number
    }

    /// Waits until this connection is lost.
    pub(super) async fn loss(&self, of: Connection) {
        let mut connection = self.0.subscribe();
        let _ = connection.wait_for(|now| now.number != of.number).await;
    }

    /// Performs work over the connection; its answer is lost with the connection.
    pub(super) async fn over<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let connection = self.connected()?;
        tokio::select! {
            biased;
            () = self.loss(connection) => Err(lost()),
            done = work => done,
        }
    }
}

/// The error of the operating system for a connection that was cut.
fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by a test")
}

pub(super) fn lost() -> PubsubError {
    PubsubError::unavailable_because("the connection was lost", reset())
}

pub(super) fn in_doubt() -> PubsubError {
    PubsubError::OutcomeUnknown { reason: "the connection was lost".to_owned(), source: Some(Cause::of(reset())) }
}
