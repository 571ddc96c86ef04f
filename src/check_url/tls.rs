//! TLS to servers whose certificates are checked against those of a file, as Go clients check them (`--ca FILE`).
//!
//! Go takes the certificate of a server that is itself one of the trusted ones, whoever issued it (crypto/x509,
//! `Certificate.Verify`). So does curl, and so people serve the certificate that `openssl req -x509` makes, which is
//! that of a CA. webpki refuses these.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    TcpConnector, Transport, TransportAdapter,
};

/// Connects as ureq does by default, through proxies too, but trusts the certificates of a PEM file. Fails if there
/// are none.
pub(super) fn connector(pem: &[u8]) -> anyhow::Result<impl Connector> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(pem, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(TlsConnector(Arc::new(config))),
    )
}

/// Takes what webpki takes, and the trusted certificates themselves.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(pem: &[u8], provider: Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let trusted: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let trusted = trusted
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("it is not a PEM file")?;
        anyhow::ensure!(!trusted.is_empty(), "it contains no certificate");
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .context("it contains no certificate that can be read")?;
        Ok(Self { webpki, trusted })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let checked = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match checked {
            Err(error) if is_of_issuer(&error) && self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whether a certificate was refused for its issuer, or since it is that of a CA. webpki looks at its validity before
/// either, and at its name after them.
fn is_of_issuer(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.to_string() == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}

/// Wraps connections for `https` in TLS.
#[derive(Debug)]
struct TlsConnector(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| ureq::Error::Tls("the host is not a valid name"))?;
        let mut conn = ClientConnection::new(self.0.clone(), name)?;
        let transport: Box<dyn Transport> = Box::new(transport);
        let mut sock = TransportAdapter::new(transport, details.current_time.clone());
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock)?;
        Ok(Some(Either::B(TlsTransport {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: StreamOwned::new(conn, sock),
        })))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// By `openssl req -x509 -addext subjectAltName=DNS:registry.test,IP:127.0.0.1`, valid from 2026 to 2126.
    const OWN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBkjCCATmgAwIBAgIUH7godDuV5sgTKkz0VM8y2wsYleswCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDb3duMCAXDTI2MTEyOTEyMzA0MFoYDzIxMjYxMTA1MTIzMDQw
WjAOMQwwCgYDVQQDDANvd24wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQUJbxE
kib2d+Gbfu3La8DKYSQ4hHSYhpRIRXbF4Wsi4fVULnBuTiF481nETnKMR4P1LZhn
996Iqhte279+coubo3MwcTAdBgNVHQ4EFgQUHND6a0aQeNKjHuhTb5iAqyxavYww
HwYDVR0jBBgwFoAUHND6a0aQeNKjHuhTb5iAqyxavYwwDwYDVR0TAQH/BAUwAwEB
/zAeBgNVHREEFzAVgg1yZWdpc3RyeS50ZXN0hwR/AAABMAoGCCqGSM49BAMCA0cA
MEQCICdmXiXcFidNksn6O2i7nNjxJvxAqUwfSYP5+Bsf9kn9AiAFtxvV1pu7wUdF
7lb4zwpfG64NqPjgNkgRO70zGd1pcQ==
-----END CERTIFICATE-----
";
    /// By `openssl req -x509`: the CA of [`LEAF`].
    const CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcTCCARegAwIBAgIUBiIHn8rW57rFQhRG3np0tAKosYcwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTI5MTIzMDQwWhgPMjEyNjExMDUxMjMwNDBa
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPFTOq69E
+Z9QGX0+Ozsx8+9ezFuKiLwcWlIAcSagKZROFyL3TJArA2tSxZcWEnWyGLmpurA2
qsY4UiWKl3tpGKNTMFEwHQYDVR0OBBYEFIDZy4T9O1LN1UFhtXIFyePDsGDXMB8G
A1UdIwQYMBaAFIDZy4T9O1LN1UFhtXIFyePDsGDXMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIhALqOptC0o6ISjE/9XcKgr2Lh7imhv7TpHSAVjyyV
MEkCAiANbkKh+nk0/lsJsDq1U8V08qI3SGi2fu2/YWkzNo8jmA==
-----END CERTIFICATE-----
";
    /// Of `registry.test`, not a CA.
    const LEAF: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfDCCASKgAwIBAgIUUC5fnHN2ycK5nyuVdKxzxvc2mQkwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTI5MTIzMDQwWhgPMjEyNjExMDUxMjMwNDBa
MA8xDTALBgNVBAMMBGxlYWYwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARrfqfA
9hx5ElFpkzy52M2tN+Pn4FaMfTAE0o+Xr+sUiJshpu3uu5MzXU50fQIRzU28HLe3
zgEaXUMdR/Yn4Wcho1wwWjAYBgNVHREEETAPgg1yZWdpc3RyeS50ZXN0MB0GA1Ud
DgQWBBT8wtXPAC9+YvRgIYch6uEalKiSajAfBgNVHSMEGDAWgBSA2cuE/TtSzdVB
YbVyBcnjw7Bg1zAKBggqhkjOPQQDAgNIADBFAiB8qfpDkVbulSJHzsMs/dCgVTqb
nj/9y3M1TbOLCMarzwIhAKume6Wgw9Z+PKA444tIy91l9uVvTIWYyEqF6rRyysFh
-----END CERTIFICATE-----
";
    /// In the year 2030, in seconds.
    const NOW: u64 = 1_900_000_000;
    /// In the year 2150, in seconds.
    const LATER: u64 = 5_700_000_000;

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    /// Presents a certificate to a client that trusts others: what is wrong with it, if anything.
    fn wrong(trusted: &str, shown: &str, name: &'static str, time: u64) -> Option<String> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(trusted.as_bytes(), provider).unwrap();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        let name = ServerName::try_from(name).unwrap();
        let result = verifier.verify_server_cert(&der(shown), &[], &name, &[], time);
        result.err().map(|error| error.to_string())
    }

    #[test]
    fn trusted_certificates_are_taken_from_a_server() {
        for name in ["registry.test", "127.0.0.1"] {
            assert_eq!(wrong(OWN, OWN, name, NOW), None);
        }
        let both = format!("{CA}{OWN}");
        assert_eq!(wrong(&both, OWN, "registry.test", NOW), None);
        // The issuer of a leaf need not be known if the leaf is; nor must the leaf be there if its issuer is.
        assert_eq!(wrong(LEAF, LEAF, "registry.test", NOW), None);
        assert_eq!(wrong(CA, LEAF, "registry.test", NOW), None);
    }

    #[test]
    fn name_and_time_must_be_right_and_others_are_refused() {
        for (trusted, shown, name, time, expected) in [
            (OWN, OWN, "other.test", NOW, "not valid for name"),
            (LEAF, LEAF, "other.test", NOW, "not valid for name"),
            (OWN, OWN, "registry.test", LATER, "expired"),
            (LEAF, LEAF, "registry.test", LATER, "expired"),
            (OWN, OWN, "registry.test", 0, "not valid yet"),
            (CA, OWN, "registry.test", NOW, "CaUsedAsEndEntity"),
            (OWN, LEAF, "registry.test", NOW, "UnknownIssuer"),
        ] {
            let error = wrong(trusted, shown, name, time).unwrap();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let provider = Arc::new(ring::default_provider());
        for text in ["", "no", "-----BEGIN CERTIFICATE-----\n?\n"] {
            assert!(
                Verifier::new(text.as_bytes(), provider.clone()).is_err(),
                "{text}"
            );
        }
    }
}
