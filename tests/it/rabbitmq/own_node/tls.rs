//! TLS: the broker's certificate is checked, and the client shows one of its own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use weir_pubsub::{Backend, Limits, Message, PubsubError, QueueSpec, RabbitBroker, TlsFiles};
use weir_tests::rabbitmq::{DefaultQueues, Setup};
use weir_tests::wait::within;

use crate::stage::queue;

/// A certificate authority.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, in PEM.
fn certificate(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn certificates_of_both_sides_are_checked() {
    let (trusted, other) = (authority("trusted"), authority("other"));
    let (server, server_key) = certificate(&trusted, "localhost");
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
    let (client, client_key) = certificate(&trusted, "client");
    let url = format!("amqps://guest:guest@localhost:{port}/{}", vhost.name());
    let tls = TlsFiles {
        ca_file: Some(file("ca.pem", &trusted.pem())),
        certificate_files: Some((file("client.pem", &client), file("client-key.pem", &client_key))),
    };
    let backend = within("a connection", RabbitBroker::connect(&url, Limits::default(), &tls)).await.unwrap();
    let queue = queue("flow:tg:a", "reader");
    backend.create_queue(&QueueSpec::new(queue.clone())).await.unwrap();
    backend.producer(queue.topic()).await.unwrap().publish_confirmed(Message::new("sealed")).await.unwrap();
    within("the close", backend.close()).await;

    // A broker that is not to be trusted, and a client without a certificate, get nowhere.
    for wrong in
        [TlsFiles { ca_file: Some(file("other.pem", &other.pem())), ..tls.clone() }, TlsFiles { certificate_files: None, ..tls.clone() }]
    {
        let connecting =
            tokio::time::timeout(std::time::Duration::from_secs(3), RabbitBroker::connect(&url, Limits::default(), &wrong)).await;
        assert!(!matches!(connecting, Ok(Ok(_))), "it connected");
    }
    let error = RabbitBroker::connect(vhost.url(), Limits::default(), &tls).await.err().unwrap();
    assert!(matches!(&error, PubsubError::Refused { reason, .. } if reason.contains("amqps://")), "{error}");
}
