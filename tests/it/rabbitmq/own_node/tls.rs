//! TLS: the broker's certificate is checked, and the client presents its own.

use weir_pubsub::{Backend, ConsumerOptions, Limits, Message, PubsubError, QueueSpec, RabbitBroker, TlsFiles};
use weir_tests::certificates::{Authority, Certificate};
use weir_tests::rabbitmq::{DefaultQueues, Setup};
use weir_tests::wait::within;

use crate::host_fixture::queue;
use crate::interop::peer::run;

#[tokio::test]
async fn certificates_of_both_sides_are_checked() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    let Certificate { pem: server, key: server_key } = trusted.certificate(&["localhost"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let node = Setup::default()
        .file("ca.pem", trusted.pem())
        .file("server.pem", server)
        .file("server-key.pem", server_key)
        .line(&format!("listeners.ssl.1 = 127.0.0.1:{port}"))
        .line("ssl_options.cacertfile = /node/ca.pem")
        .line("ssl_options.certfile = /node/server.pem")
        .line("ssl_options.keyfile = /node/server-key.pem")
        .line("ssl_options.verify = verify_peer")
        .line("ssl_options.fail_if_no_peer_cert = true")
        .start()
        .await;
    let vhost = node.vhost(DefaultQueues::Classic).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let Certificate { pem: client, key: client_key } = trusted.certificate(&["client"]);
    let url = format!("amqps://guest:guest@localhost:{port}/{}", vhost.name());
    let tls = TlsFiles {
        ca_file: Some(file("ca.pem", &trusted.pem())),
        certificate_files: Some((file("client.pem", &client), file("client-key.pem", &client_key))),
    };
    let backend = within("a connection", RabbitBroker::connect(&url, Limits::default(), &tls, None)).await.unwrap();
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    backend.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("sealed")).await.unwrap();

    // Messages of other programs are sanitized over TLS, too.
    run(&vhost, "hostile.py", &["tg", "flow.a", "content type", "nested header name", "deepest header"]).await;
    let consumer = backend.consumer(queue.topic(), queue.subscription(), ConsumerOptions::default()).await.unwrap();
    for body in ["sealed", "content type", "nested header name", "deepest header"] {
        let delivery = within(body, consumer.receive()).await.unwrap();
        assert_eq!(&delivery.message.body[..], body.as_bytes());
        backend.settle(&delivery.receipt, Vec::new()).await.unwrap();
    }
    within("the close", backend.close()).await;

    // A broker that is not trusted, and a client without a certificate, cannot connect.
    for wrong in
        [TlsFiles { ca_file: Some(file("other.pem", &other.pem())), ..tls.clone() }, TlsFiles { certificate_files: None, ..tls.clone() }]
    {
        let connecting =
            tokio::time::timeout(std::time::Duration::from_secs(3), RabbitBroker::connect(&url, Limits::default(), &wrong, None)).await;
        assert!(!matches!(connecting, Ok(Ok(_))), "it connected");
    }
    let error = RabbitBroker::connect(vhost.url(), Limits::default(), &tls, None).await.err().unwrap();
    assert!(matches!(&error, PubsubError::Refused { reason, .. } if reason.contains("amqps://")), "{error}");
}
