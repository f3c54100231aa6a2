//! A web page of another site in a real browser: it can neither read anything from a gateway without a token nor change anything there.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use weir_tests::browser::Browser;
use weir_tests::wait::before;

use super::exposition::Exposition;
use super::fixture::GatewayFixture;

/// The first start of a browser on a busy machine takes long.
const BROWSER_TIME: std::time::Duration = std::time::Duration::from_secs(120);

/// Everything that a page can send without a preflight request. Each request ends before the next, so that all were sent at the end.
const ATTACKS: &str = r#"<!doctype html><title>a page</title><script>
const image = path => new Promise(done => { const i = new Image(); i.onload = i.onerror = done; i.src = GATEWAY + path; });
const blind = (path, body, type) =>
    fetch(GATEWAY + path, { mode: "no-cors", ...(body && { method: "POST", body: new Blob([body], { type }) }) }).catch(() => {});
const socket = path => new Promise(done => {
    const s = new WebSocket(GATEWAY.replace("http", "ws") + path);
    s.onopen = () => done("open");
    s.onerror = () => done("refused");
});
const list = '{"operation": "list-flows"}', exit = "/api/v1/weir/flows/one/exits/out", message = "/api/v1/flow/one/service/in";
(async () => {
    for (const path of [exit + "?wait-ms=300", "/healthz", "/metrics", "/api/v1/weir/queues"]) {
        await image(path);
        await blind(path);
    }
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]) {
        await blind("/api/v1/flow", list, type);
        await blind(exit + "/take", "{}", type);
        await blind(message, "{}", type);
    }
    const sockets = [];
    for (const path of ["/api/v1/socket", "/api/v1/flow/one/export/out", "/api/v1/flow/one/import/in"]) sockets.push(await socket(path));
    await fetch("/done/" + sockets.join("-"));
})();
</script>"#;

/// Serves one page at every path; the requested paths are sent to the channel.
async fn serve(page: String) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            let head = String::from_utf8_lossy(&head);
            let length = page.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}");
            // A browser opens connections that it does not use.
            let _ = stream.write_all(answer.as_bytes()).await;
            if let Some(path) = head.split(' ').nth(1) {
                let _ = sender.send(path.to_owned()).await;
            }
        }
    });
    (port, asked)
}

/// Answers of the gateway that did not refuse a page, apart from those to the test itself.
async fn answered(fixture: &GatewayFixture) -> (f64, f64) {
    let text = fixture.get_request("/metrics").send().await.unwrap().text().await.unwrap();
    let exposition = Exposition::parse(&text);
    let counts = exposition.all("weir_gateway_request_duration_seconds_count", &[]);
    counts.fold((0.0, 0.0), |(refused, other), (labels, count)| match labels["status"].as_str() {
        "403" => (refused + count, other),
        _ => (refused, other + count),
    })
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_read_nor_change_anything() {
    let fixture = GatewayFixture::with_flow().await;
    for body in ["1", "2", "3"] {
        fixture.publish("flow:tg:out:one", body).await;
    }
    let (_, before_count) = answered(&fixture).await;
    let gateway = format!("{:?}", format!("http://{}", fixture.address));
    let (port, mut asked) = serve(ATTACKS.replace("GATEWAY", &gateway)).await;
    // Another name is another site; another port of the same name is the same site, but not the same origin.
    for host in ["localhost", "127.0.0.1"] {
        let (refused_count, _) = answered(&fixture).await;
        let browser = Browser::open(&format!("http://{host}:{port}/"));
        let sockets = before(BROWSER_TIME, "the page to have tried everything", async {
            loop {
                let path = asked.recv().await.unwrap();
                if let Some(sockets) = path.strip_prefix("/done/") {
                    return sockets.to_owned();
                }
            }
        });
        assert_eq!(sockets.await, "refused-refused-refused", "{host}");
        drop(browser);
        let (refused, other) = answered(&fixture).await;
        // Eight by images and fetches, twelve bodies, three WebSockets; a browser may resend some of them.
        assert!(refused - refused_count >= 23.0, "{host}: {refused} of {refused_count} were refused");
        let own_count = if host == "localhost" { 2.0 } else { 4.0 };
        assert_eq!(other - before_count, own_count, "{host}: only the test's own requests were answered");
    }
    assert_eq!(fixture.depth("flow:tg:out:one", "gateway--one--out").await, 3);
}

#[tokio::test]
async fn a_link_of_another_site_opens_the_page_that_describes_the_gateway() {
    let fixture = GatewayFixture::new().await;
    // During the load of the page, so that the browser includes the redirect's target in loading it.
    let link = format!("<!doctype html><script>location.replace(\"http://{}/\")</script>", fixture.address);
    let (port, _asked) = serve(link).await;
    for url in [format!("http://{}/", fixture.address), format!("http://localhost:{port}/")] {
        let opened = url.clone();
        let page = before(BROWSER_TIME, "the page", tokio::task::spawn_blocking(move || Browser::dump(&opened))).await.unwrap();
        assert!(page.contains("<title>Weir gateway</title>"), "{url}: {page}");
    }
}
