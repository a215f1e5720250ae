//! The sink over TLS with certificates on both sides, in front of the stand-in.
//!
//! The keys in `tls/` are for this test only; they open nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use flintwheel_loadtest::standin::{Standin, StandinOptions};
use flintwheel_temporal::{CallError, TemporalOptions, TemporalSink, TlsOverrides};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).expect("certificate")
}

/// Takes only clients with a certificate of the test's authority.
fn acceptor() -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("root");
    let provider = Arc::new(ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("key");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients.build().expect("verifier"))
        .with_single_cert(vec![certificate("server.pem")], key)
        .expect("server certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Unwraps TLS and passes everything on.
async fn tls_in_front_of(standin: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let acceptor = acceptor();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(standin).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    address
}

fn complete() -> TlsOverrides {
    TlsOverrides {
        enabled: None,
        server_ca_cert: Some(file("ca.pem")),
        client_cert: Some(file("client.pem")),
        client_key: Some(file("client.key")),
        server_name: Some("temporal.test".to_owned()),
    }
}

async fn probe(address: SocketAddr, tls: TlsOverrides) -> Result<(), CallError> {
    let options = TemporalOptions { address: Some(address.to_string()), tls, ..TemporalOptions::default() };
    let target = options.resolve_in(Some(&Default::default())).expect("options");
    TemporalSink::new(target).expect("sink").probe().await.map(|_| ())
}

#[tokio::test]
async fn certificates_on_both_sides_let_calls_through_and_anything_less_does_not() {
    let standin = Standin::start(StandinOptions::default()).await.expect("stand-in");
    let address = tls_in_front_of(standin.address()).await;
    assert_eq!(probe(address, complete()).await, Ok(()));

    let less = [
        TlsOverrides { client_cert: None, client_key: None, ..complete() },
        TlsOverrides { server_name: Some("somebody.else".to_owned()), ..complete() },
        TlsOverrides { server_ca_cert: Some(file("client.pem")), ..complete() },
        TlsOverrides { enabled: Some(false), ..complete() },
    ];
    for tls in less {
        let refused = probe(address, tls.clone()).await;
        assert!(matches!(refused, Err(CallError::Unavailable(_))), "{tls:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_key_without_its_certificate_is_refused_at_once() {
    let tls = TlsOverrides { client_cert: None, ..complete() };
    let options = TemporalOptions { tls, ..TemporalOptions::default() };
    let error = options.resolve_in(Some(&Default::default())).expect_err("half a pair");
    assert!(error.message.contains("must be provided together"), "{error}");
}
