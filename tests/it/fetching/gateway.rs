//! A stub of a gateway: whatever the request, it sends the answer chosen by the test.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The answer.
#[derive(Clone)]
pub(super) enum Response {
    /// Closes the connection.
    Nothing,
    /// These bytes.
    Component(Vec<u8>),
    /// Half of these bytes, then closes the connection.
    Half(Vec<u8>),
    /// A status and a body.
    Error(u16, &'static str),
}

/// Dropping it stops it.
pub(super) struct StubGateway {
    url: String,
    shared: Arc<Mutex<(Response, Vec<String>)>>,
    serving: JoinHandle<()>,
}

impl StubGateway {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new((Response::Nothing, Vec::new())));
        let serving = tokio::spawn(serve(listener, shared.clone()));
        StubGateway { url, shared, serving }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Answers this from now on.
    pub(super) fn says(&self, says: Response) {
        self.shared.lock().unwrap().0 = says;
    }

    /// What was requested and answered.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().1.clone()
    }
}

impl Drop for StubGateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Mutex<(Response, Vec<String>)>>) {
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        // One at a time: each has one request.
        let _ = answer(connection, &shared).await;
    }
}

async fn answer(connection: TcpStream, shared: &Mutex<(Response, Vec<String>)>) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut first = String::new();
    connection.read_line(&mut first).await?;
    let mut line = String::new();
    while connection.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let says = {
        let mut shared = shared.lock().unwrap();
        if !matches!(shared.0, Response::Nothing) {
            shared.1.push(first.trim_end_matches(" HTTP/1.1\r\n").to_owned());
        }
        shared.0.clone()
    };
    let (status, length, body) = match says {
        Response::Nothing => return Ok(()),
        Response::Component(bytes) => (200, bytes.len(), bytes),
        Response::Half(bytes) => (200, bytes.len(), bytes[..bytes.len() / 2].to_vec()),
        Response::Error(status, body) => (status, body.len(), body.as_bytes().to_vec()),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(&body).await?;
    connection.shutdown().await
}
