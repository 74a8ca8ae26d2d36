//! Options of TLS: which certificates the server may have, and which one the client
//! sends.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The options of an encrypted connection (TLS 1.2 or 1.3). If the server does not
/// support TLS, connecting fails with
/// [`ErrorKind::Connect`](crate::error::ErrorKind::Connect).
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The checks of the server's certificate.
    pub verification: Verification,
    /// The client's certificate. `None`: the client sends none.
    pub client: Option<ClientCertificate>,
}

/// The checks of the server's certificate. The variants correspond to `REQUIRED`,
/// `VERIFY_CA` and `VERIFY_IDENTITY` of MySQL's `--ssl-mode` (MySQL manual,
/// "Command Options for Encrypted Connections").
#[derive(Clone, Debug)]
pub enum Verification {
    /// No check. Encryption protects against listeners, but every server is
    /// accepted, also an attacker's.
    None,
    /// One of these CAs must have issued the certificate. Its names are not checked,
    /// so every server with a certificate of the CA is accepted.
    Authority(Authorities),
    /// One of these CAs must have issued the certificate, and it must be for the
    /// host of the [`Endpoint`](super::Endpoint) (its subjectAltName).
    Identity(Authorities),
}

impl Verification {
    /// Returns the CAs that may have issued the certificate, if it is checked.
    #[must_use]
    pub const fn authorities(&self) -> Option<&Authorities> {
        match self {
            Self::None => None,
            Self::Authority(authorities) | Self::Identity(authorities) => Some(authorities),
        }
    }
}

/// The CAs that may have issued the server's certificate, also through
/// intermediate CAs whose certificates the server sends.
#[derive(Clone, Debug)]
pub enum Authorities {
    /// The public CAs that Mozilla trusts, as the crate `webpki-roots` contains
    /// them.
    BuiltIn,
    /// The CAs of the system's trust store. Each certificate must be usable as a
    /// trust anchor.
    System(Arc<[CertificateDer<'static>]>),
    /// The CAs of a file, whose path error messages show. Each certificate must be
    /// usable as a trust anchor.
    Named(Arc<[CertificateDer<'static>]>, PathBuf),
}

impl Authorities {
    /// Returns the certificates. `None`: they are built in.
    #[must_use]
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::BuiltIn => None,
            Self::System(certificates) | Self::Named(certificates, _) => Some(certificates),
        }
    }
}

/// The CAs in the words of messages: the store, or the path of the file.
impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the public CAs that this program knows"),
            Self::System(_) => f.write_str("the system's trust store"),
            Self::Named(_, path) => write!(f, "{}", path.display()),
        }
    }
}

/// The client's certificate and its private key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, followed by those of intermediate CAs.
    pub chain: Vec<CertificateDer<'static>>,
    /// The certificate's private key. `Debug` does not show it.
    pub key: Arc<PrivateKeyDer<'static>>,
}

/// Whether a server may get the password unencrypted, by the plugin
/// `mysql_clear_password` (MySQL manual, "Client-Side Cleartext Pluggable
/// Authentication"). PAM and LDAP accounts need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleartextPlugin {
    /// It may not: the login fails.
    #[default]
    Refuse,
    /// It may. Only a verified TLS connection protects the password.
    Allow,
}
