//! Certificates: from PEM files, or made on the spot for development. Knows nothing of who presents them.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate chain with the private key of its first certificate.
#[derive(Debug)]
pub struct Certificate {
    /// The server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read, or is no PEM.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A file without a certificate.
    #[error("{0}: there is no certificate in it")]
    Empty(PathBuf),
    /// None could be made.
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl Certificate {
    /// Reads a chain and a key.
    pub fn read(chain: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CertificateError::File { path, source }
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(failed(chain))?;
        if certificates.is_empty() {
            return Err(CertificateError::Empty(chain.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(failed(key))?;
        Ok(Certificate { chain: certificates, key })
    }

    /// Makes one that signs itself, for `localhost` and loopback. Nobody has a reason to trust it: for development.
    pub fn self_signed() -> Result<Certificate, CertificateError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Certificate { chain: vec![made.cert.der().clone()], key: key.into() })
    }
}

/// TLS as this server speaks it to drivers, with the name of the protocol inside.
pub fn server_config(
    certificate: Certificate,
    protocol: &[u8],
) -> Result<rustls::ServerConfig, rustls::Error> {
    let provider = rustls::crypto::ring::default_provider();
    let mut config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// For errors of parts that speak in the system's.
pub fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
