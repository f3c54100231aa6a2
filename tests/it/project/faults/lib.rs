//! A processor that does what it should not.

use serde::Deserialize;
use weir::{Failure, Json, Result};

weir::processor!(work, manifest = "weir.toml");

#[derive(Deserialize)]
struct Doc {
    r#do: String,
}

fn work(Json(doc): Json<Doc>) -> Result<Json<String>> {
    match doc.r#do.as_str() {
        "error" => drop(doc.r#do.parse::<u32>()?),
        "panic" => panic!("out of ideas"),
        "exit" => std::process::exit(3),
        "loop" => loop {},
        "undeclared" => weir::send("nowhere", Json(1))?,
        "config" => drop(weir::config::get("unnamed", "key")),
        "file" => drop(std::fs::read("/etc/hosts")?),
        "thread" => drop(std::thread::spawn(|| ())),
        "socket" => drop(std::net::TcpStream::connect("127.0.0.1:80")?),
        "memory" => return Err(Failure::retry(vec![1_u8; 1 << 30].len())),
        "recursion" => return Err(Failure::retry(again(1))),
        _ => {}
    }
    Ok(Json(doc.r#do))
}

#[inline(never)]
fn again(depth: u64) -> u64 {
    std::hint::black_box(again(std::hint::black_box(depth + 1)) + 1)
}
