//! How the bytes travel: in plain text, or encrypted and vouched for by whom.
//!
//! The files that this takes are read here, once, and checked, so that a bad
//! one is found before anything is touched. Speaking TLS is left to the source.

use std::{fmt, fs, path::Path, sync::Arc};

use clap::ValueEnum;
use rustls::{
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject, SectionKind},
    },
    sign::CertifiedKey,
};

use super::{
    Endpoint,
    connection::exposed,
    layers::{Layers, Origin, Sourced},
    settings::{CLEARTEXT_PLUGIN, SERVER_PUBLIC_KEY},
};
use crate::error::{Error, Result};

pub(super) const MODE: &str = "tls.mode";
pub(super) const CA_FILE: &str = "tls.ca_file";
const CERT: &str = "tls.cert";
pub(super) const KEY: &str = "tls.key";

/// The choices of `--tls`, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum TlsMode {
    /// Plain text: everyone on the way can read and change it
    Disabled,
    /// Encrypted, but for whoever answers
    Required,
    /// The server's certificate must be vouched for by the CA of --tls-ca-file
    VerifyCa,
    /// The certificate must also be for the host that was asked for
    VerifyIdentity,
}

impl TlsMode {
    /// The mode that MySQL calls `name` (MySQL manual, "Command Options for
    /// Encrypted Connections", `--ssl-mode`).
    pub(super) fn of_mysql(name: &str) -> Option<Self> {
        Self::from_str(&name.replace('_', "-"), true).ok()
    }

    /// As `--tls` takes it.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What an encrypted connection needs.
#[derive(Clone, Debug)]
pub struct Tls {
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
    /// These and no others.
    Only {
        /// Each readable as a trust anchor.
        certificates: Arc<[CertificateDer<'static>]>,
        /// Where they are kept.
        place: String,
    },
}

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the public CAs that this program knows"),
            Self::Only { place, .. } => f.write_str(place),
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

/// The mode that holds for a server at `endpoint`, and where it comes from.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a mode that cannot
/// be had there.
pub(super) fn mode(layers: &Layers, endpoint: &Endpoint) -> Result<(TlsMode, Origin)> {
    let said = layers.choice::<TlsMode>(MODE)?;
    let origin = layers
        .get(MODE)
        .map_or(Origin::Default, |found| found.origin.clone());
    if let Endpoint::Socket(path) = endpoint {
        // An option file is also for connections by TCP.
        let is_meant = !matches!(origin, Origin::OptionFile(_));
        if is_meant && said.is_some_and(|mode| mode != TlsMode::Disabled) {
            let what = format!("cannot be had on the Unix socket {path}, which is never encrypted");
            return Err(origin.refuse(MODE, &what).hint(
                "leave it out, as nobody is between you and a socket, or name --host 127.0.0.1",
            ));
        }
        return Ok((
            TlsMode::Disabled,
            if is_meant { origin } else { Origin::Default },
        ));
    }
    if let Some(mode) = said {
        return Ok((mode, origin));
    }
    // Whoever names certificates wants them to be used.
    let is_meant = [CA_FILE, CERT, KEY]
        .iter()
        .any(|name| layers.get(name).is_some());
    Ok(match endpoint.is_local() && !is_meant {
        true => (TlsMode::Disabled, Origin::Default),
        false => (TlsMode::VerifyIdentity, Origin::Default),
    })
}

/// What the user should know of a connection to `endpoint` in `mode`, which
/// `origin` gives.
pub(super) fn warnings(
    layers: &Layers,
    endpoint: &Endpoint,
    mode: TlsMode,
    origin: &Origin,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let what = match mode {
        TlsMode::Disabled => "is not encrypted: everyone on the way can read and change the rows",
        TlsMode::Required => {
            "is encrypted, but for whoever answers there: nobody checks who that is"
        }
        TlsMode::VerifyCa => "is for any server that its CA vouches for: nobody checks its name",
        TlsMode::VerifyIdentity => "",
    };
    if !endpoint.is_local() && !what.is_empty() {
        let subject = origin.subject(MODE);
        let place = match origin {
            Origin::Flag(flag) if flag == "--tls" => format!("--tls {}", mode.name()),
            _ => subject,
        };
        warnings.push(format!("the connection to {endpoint} {what} ({place})"));
    }
    if mode <= TlsMode::Required
        && let Some(Sourced { origin, .. }) = layers.get(CA_FILE)
        && !matches!(endpoint, Endpoint::Socket(_))
    {
        let subject = origin.subject(CA_FILE);
        warnings.push(format!(
            "{subject} is not used: with {}, nobody checks the server's certificate",
            mode.name()
        ));
    }
    if mode != TlsMode::Disabled
        && let Some(key) = layers.get(KEY)
    {
        warnings.extend(exposed(path(key), "a private key"));
    }
    warnings
}

/// Reads the certificates that `mode` needs.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for files that are
/// missing, unreadable, or hold something else.
pub(super) fn load(layers: &Layers, mode: TlsMode, origin: &Origin) -> Result<Option<Tls>> {
    let ca_file = layers.get(CA_FILE);
    let verification = match (mode, ca_file) {
        (TlsMode::Disabled, _) => return Ok(None),
        (TlsMode::Required, _) => Verification::None,
        (TlsMode::VerifyCa, Some(file)) => Verification::Authority(authorities_in(file)?),
        (TlsMode::VerifyCa, None) => {
            let what =
                "needs --tls-ca-file: by the public CAs alone, every server of the web would do";
            return Err(origin
                .refuse(MODE, what)
                .hint("name your own CA's certificate, or use verify-identity, which also checks the name"));
        }
        (TlsMode::VerifyIdentity, Some(file)) => Verification::Identity(authorities_in(file)?),
        (TlsMode::VerifyIdentity, None) => Verification::Identity(system_authorities()),
    };
    let client = match (layers.get(CERT), layers.get(KEY)) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(client_certificate(cert, key)?),
        (Some(cert), None) => return Err(alone(cert, CERT, "--tls-key FILE")),
        (None, Some(key)) => return Err(alone(key, KEY, "--tls-cert FILE")),
    };
    Ok(Some(Tls {
        verification,
        client,
    }))
}

fn alone(found: &Sourced, name: &str, other: &str) -> Error {
    let what = "stands alone: a certificate and its key belong together";
    found.origin.refuse(name, what).hint(format!("add {other}"))
}

/// The certificates of `--tls-ca-file`.
fn authorities_in(file: &Sourced) -> Result<Authorities> {
    let path = path(file);
    let certificates = certificates_in(CA_FILE, file)?;
    for (index, certificate) in certificates.iter().enumerate() {
        if let Err(error) = webpki::anchor_from_trusted_cert(certificate) {
            let number = index + 1;
            let what = format!(
                "names {}, whose certificate number {number} cannot be read: {error}",
                path.display()
            );
            return Err(file.origin.refuse(CA_FILE, &what));
        }
    }
    Ok(Authorities::Only {
        certificates: certificates.into(),
        place: path.display().to_string(),
    })
}

/// The system's trust store, or what is built in where there is none.
fn system_authorities() -> Authorities {
    // What cannot be read, or not be used, vouches for nobody: leaving it out
    // trusts less, not more.
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("a part of the system's trust store is passed over: {error}");
    }
    let is_usable = |one: &CertificateDer<'_>| webpki::anchor_from_trusted_cert(one).is_ok();
    let certificates: Vec<_> = found.certs.into_iter().filter(is_usable).collect();
    if certificates.is_empty() {
        tracing::info!(
            "the system has no trust store: the public CAs built into this program are trusted"
        );
        return Authorities::BuiltIn;
    }
    tracing::debug!("the system's trust store has {} CAs", certificates.len());
    Authorities::Only {
        certificates: certificates.into(),
        place: "the system's trust store".to_owned(),
    }
}

fn client_certificate(cert: &Sourced, key: &Sourced) -> Result<ClientCertificate> {
    let chain = certificates_in(CERT, cert)?;
    let shown = path(key).display();
    let bytes = read(KEY, key)?;
    let refuse = |what: String| key.origin.refuse(KEY, &format!("names {shown}, {what}"));
    let parsed = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        if holds_encrypted_key(&bytes) {
            refuse("whose key is encrypted".to_owned()).hint(format!(
                "decrypt it first: openssl pkey -in {shown} -out plain.pem"
            ))
        } else {
            refuse(not_pem("private key", &error))
        }
    })?;
    let pair = CertifiedKey::from_der(chain.clone(), parsed.clone_key(), &ring::default_provider());
    pair.map_err(|error| {
        let cert = path(cert).display();
        refuse(format!(
            "which does not belong to the certificate in {cert}: {error}"
        ))
    })?;
    Ok(ClientCertificate {
        chain,
        key: Arc::new(parsed),
    })
}

fn holds_encrypted_key(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn certificates_in(name: &str, file: &Sourced) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(name, file)?;
    let shown = path(file).display();
    let refuse = |what: String| file.origin.refuse(name, &format!("names {shown}, {what}"));
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| refuse(not_pem("certificate", &error)))?;
    if certificates.is_empty() {
        return Err(refuse(not_pem("certificate", &pem::Error::NoItemsFound)));
    }
    Ok(certificates)
}

fn not_pem(what: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => format!("which holds no {what} in PEM form"),
        error => format!("which is broken: {error}"),
    }
}

/// The server's RSA key, as PEM that the driver can read.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a file that holds
/// something else.
pub(super) fn server_public_key(layers: &Layers) -> Result<Option<Vec<u8>>> {
    let Some(file) = layers.get(SERVER_PUBLIC_KEY) else {
        return Ok(None);
    };
    let bytes = read(SERVER_PUBLIC_KEY, file)?;
    let shown = path(file).display();
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes).flatten();
    let key = sections.find_map(|(kind, der)| (kind == SectionKind::PublicKey).then_some(der));
    if key.is_some_and(|der| is_rsa_key(&der).is_some()) {
        return Ok(Some(bytes));
    }
    let what = format!("names {shown}, which holds no RSA public key in PEM form");
    Err(file.origin.refuse(SERVER_PUBLIC_KEY, &what).hint(
        "the server keeps it as public_key.pem in its data directory, and shows it: SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'",
    ))
}

/// Whether `der` is an RSA key of 2048 bits at least (RFC 5280, section 4.1, and
/// RFC 8017, appendix A.1.1): the driver panics on what is not.
fn is_rsa_key(der: &[u8]) -> Option<()> {
    const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    const SMALLEST: usize = 256;
    let (info, b"") = element(0x30, der)? else {
        return None;
    };
    let (algorithm, info) = element(0x30, info)?;
    let (bits, b"") = element(0x03, info)? else {
        return None;
    };
    let (key, b"") = element(0x30, bits.strip_prefix(b"\0")?)? else {
        return None;
    };
    let (modulus, rest) = element(0x02, key)?;
    let (exponent, b"") = element(0x02, rest)? else {
        return None;
    };
    (algorithm == RSA && modulus.len() >= SMALLEST && !exponent.is_empty()).then_some(())
}

/// The content of the DER element of type `tag` that `der` begins with, and what
/// follows it (ITU-T X.690, section 8.1).
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match short {
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (long, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*long)), rest)
        }
        short => (usize::from(short), rest),
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// Whether a server may have the password itself.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where it was allowed
/// for a server that nobody has checked.
pub(super) fn cleartext_plugin(layers: &Layers, mode: TlsMode) -> Result<CleartextPlugin> {
    let Some(found) = layers.get(CLEARTEXT_PLUGIN).filter(|found| found.is_on()) else {
        return Ok(CleartextPlugin::Refuse);
    };
    match &found.origin {
        _ if mode >= TlsMode::VerifyCa => Ok(CleartextPlugin::Allow),
        // An option file is also for other servers.
        Origin::OptionFile(_) => Ok(CleartextPlugin::Refuse),
        origin => Err(origin
            .refuse(
                CLEARTEXT_PLUGIN,
                "would give the password to whoever answers",
            )
            .hint("it needs --tls verify-ca or verify-identity")),
    }
}

fn path(found: &Sourced) -> &Path {
    found.text().map_or(Path::new(""), Path::new)
}

fn read(name: &str, file: &Sourced) -> Result<Vec<u8>> {
    fs::read(path(file)).map_err(|error| {
        let what = format!(
            "names {}, which cannot be read: {error}",
            path(file).display()
        );
        file.origin.refuse(name, &what)
    })
}
