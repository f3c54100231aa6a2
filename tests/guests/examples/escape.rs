//! Tries to access what was not granted, and sends the result of each attempt: `"refused: .."`, or `"got .."` if it succeeded.

use serde_json::{Map, Value};
use std::fmt::Debug;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use weir::Json;

weir::processor!(handle, descriptor = "examples/escape.json");

fn handle() -> Json<Map<String, Value>> {
    let found = [
        ("read_file", outcome(std::fs::read_to_string("/etc/passwd"))),
        ("read_relative_file", outcome(std::fs::read_to_string("Cargo.toml"))),
        ("list_root", outcome(std::fs::read_dir("/").map(|files| files.count()))),
        ("write_file", outcome(std::fs::write("/tmp/escaped", "here"))),
        ("current_folder", outcome(std::env::current_dir().and_then(std::fs::read_dir).map(|files| files.count()))),
        ("environment", nothing(std::env::vars_os().count())),
        ("arguments", nothing(std::env::args_os().count())),
        ("connect", outcome(TcpStream::connect(("127.0.0.1", 22)))),
        ("listen", outcome(TcpListener::bind(("127.0.0.1", 0)))),
        ("datagram", outcome(UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| socket.send_to(b"x", ("127.0.0.1", 53))))),
        ("resolve", outcome(("localhost", 80).to_socket_addrs().map(Iterator::count))),
        ("spawn", outcome(std::process::Command::new("/bin/true").spawn())),
    ];
    Json(found.into_iter().map(|(name, found)| (name.to_owned(), Value::String(found))).collect())
}

fn outcome<T: Debug>(attempt: std::io::Result<T>) -> String {
    match attempt {
        Ok(got) => format!("got {got:?}"),
        Err(error) => format!("refused: {error}"),
    }
}

fn nothing(count: usize) -> String {
    if count == 0 { "refused: empty".to_owned() } else { format!("got {count}") }
}
