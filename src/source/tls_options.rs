//! How a connection is encrypted, and which certificates vouch for the server.

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What an encrypted connection needs.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// What is asked of the server's certificate.
    pub verification: Verification,
    /// What we show the server, if anything.
    pub client: Option<ClientCertificate>,
}

/// What is asked of the server's certificate.
#[derive(Clone, Debug)]
pub enum Verification {
    /// Nothing: whoever answers is taken for the server.
    None,
    /// That one of these vouches for it.
    Authority(Authorities),
    /// That one of these vouches for it, and that it is for this host.
    Identity(Authorities),
}

impl Verification {
    /// Who may vouch for the server, if that is asked.
    #[must_use]
    pub const fn authorities(&self) -> Option<&Authorities> {
        match self {
            Self::None => None,
            Self::Authority(authorities) | Self::Identity(authorities) => Some(authorities),
        }
    }
}

/// Whose certificates vouch for a server's.
#[derive(Clone, Debug)]
pub enum Authorities {
    /// The CAs of the web, as Mozilla trusts them, built into this program.
    BuiltIn,
    /// Those of the system's trust store that can be trust anchors.
    System(Arc<[CertificateDer<'static>]>),
    /// Those in a file, all of which can be trust anchors.
    Named(Arc<[CertificateDer<'static>]>, PathBuf),
}

impl Authorities {
    /// The certificates, where they are not built in.
    #[must_use]
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::BuiltIn => None,
            Self::System(certificates) | Self::Named(certificates, _) => Some(certificates),
        }
    }
}

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the public CAs that this program knows"),
            Self::System(_) => f.write_str("the system's trust store"),
            Self::Named(_, path) => write!(f, "{}", path.display()),
        }
    }
}

/// A certificate of ours and its key, which belong together.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, and those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key; `Debug` does not show it.
    pub key: Arc<PrivateKeyDer<'static>>,
}

/// What becomes of a server's wish for the password itself, by the plugin
/// `mysql_clear_password`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleartextPlugin {
    /// It is refused.
    #[default]
    Refuse,
    /// It is granted.
    Allow,
}
