//! Forwards each message unchanged: one message in, one out.

weir::processor!(echo, descriptor = "examples/echo.json");

fn echo(message: weir::Message) -> weir::Result {
    weir::send("output", message)
}
