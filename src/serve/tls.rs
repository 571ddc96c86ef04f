//! TLS 1.2 and 1.3, with the certificate of one server.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::error::WithHint as _;
use crate::fsx::{self, escaped_path};

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest file of certificates or of a key that is read, in bytes.
const MAX_PEM: u64 = 1 << 20;

/// The files of `--tls-cert` and `--tls-key`, both PEM.
#[derive(Debug)]
pub struct TlsFiles {
    /// The certificate of the server, then those of the authorities between it and one that clients trust.
    pub cert: PathBuf,
    /// The private key, not encrypted: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// The side of the server in handshakes.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Tls {
    /// Reads certificates and key. Fails if one is missing or damaged, or if they do not belong together.
    pub(super) fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let provider = ring::default_provider();
        let (cert, key) = (escaped_path(&files.cert), escaped_path(&files.key));
        let chain = sections(&files.cert)
            .and_then(|chain| {
                anyhow::ensure!(!chain.is_empty(), "there is no certificate in `{cert}`");
                Ok(chain)
            })
            .hint("`--tls-cert` takes certificates in PEM, beginning with that of the server")?;
        let private = sections::<PrivateKeyDer<'_>>(&files.key)
            .and_then(|keys| {
                let first = keys.into_iter().next();
                let first = first.with_context(|| format!("there is no private key in `{key}`"))?;
                let loaded = provider.key_provider.load_private_key(first);
                loaded.with_context(|| format!("cannot use the private key in `{key}`"))
            })
            .hint("`--tls-key` takes a private key in PEM that is not encrypted")?;
        let pair = CertifiedKey::new(chain, private);
        match pair.keys_match() {
            // A key that cannot say is taken, as rustls does.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(anyhow::anyhow!(
                    "the private key in `{key}` is not that of the first certificate in `{cert}`"
                ))
                .hint(
                    "put the certificate of the server first, or give the key that belongs to it",
                );
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot use the certificate in `{cert}`"))
                    .hint("`openssl x509 -text -in FILE` shows what is in it");
            }
        }
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .context("cannot set up TLS")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake; `None` if it fails, or takes too long.
    pub(super) async fn accept<S>(&self, stream: S) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = tokio::time::timeout(HANDSHAKE, self.0.accept(stream));
        handshake.await.ok()?.ok()
    }
}

/// The sections of a kind in a PEM file, in their order.
fn sections<T: PemObject>(path: &Path) -> anyhow::Result<Vec<T>> {
    let shown = escaped_path(path);
    let (file, _) =
        fsx::open_regular(path)?.with_context(|| format!("there is no file `{shown}`"))?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read `{shown}`"))?;
    T::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .with_context(|| format!("cannot read `{shown}` as PEM"))
}
