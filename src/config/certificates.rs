//! Reads the files of encryption: the CAs that sign the server's certificate, the
//! client's certificate and key, and the server's RSA key. Each is read and
//! checked once, so that an invalid file is found before the run begins.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, InconsistentKeys,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject, SectionKind},
    },
    sign::CertifiedKey,
};

use super::{
    layers::Layers,
    origin::{Origin, WithOrigin},
    settings::{Key, keys},
    tls::TlsMode,
};
use crate::{
    error::{Error, Result},
    source::tls_options::{Authorities, ClientCertificate, TlsOptions, Verification},
};

/// The variables that name a trust store instead of the system's, as for OpenSSL.
const STORE_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

const KEY_TYPES_HINT: &str = "keys are RSA of 2048 bits or more, P-256, P-384 or Ed25519";

/// Reads the certificates that `mode` needs. `origin` is the origin of the mode.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for files that are
/// missing, unreadable, or hold something else.
pub(super) fn load(layers: &Layers, mode: TlsMode, origin: &Origin) -> Result<Option<TlsOptions>> {
    let Some(verification) = verification(layers, mode, origin)? else {
        return Ok(None);
    };
    let client = match (layers.get(keys::TLS_CERT), layers.get(keys::TLS_KEY)) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(client_certificate(&cert, &key)?),
        (Some(_), None) => return Err(without_pair(layers, keys::TLS_CERT, "--tls-key FILE")),
        (None, Some(_)) => return Err(without_pair(layers, keys::TLS_KEY, "--tls-cert FILE")),
    };
    Ok(Some(TlsOptions {
        verification,
        client,
    }))
}

/// How the server's certificate is verified; `None` without encryption.
fn verification(layers: &Layers, mode: TlsMode, origin: &Origin) -> Result<Option<Verification>> {
    let ca_file = layers.get(keys::TLS_CA_FILE);
    Ok(Some(match (mode, ca_file) {
        (TlsMode::Disabled, _) => return Ok(None),
        (TlsMode::Required, _) => Verification::None,
        (TlsMode::VerifyCa, Some(file)) => Verification::Authority(named_authorities(&file)?),
        (TlsMode::VerifyCa, None) => {
            let what = "is verify-ca, which needs --tls-ca-file: by the public CAs alone, every server of the web would do";
            let hint = "name your own CA's certificate, or use verify-identity, which also checks the name";
            return Err(origin.refuse(keys::TLS_MODE, what).with_hint(hint));
        }
        (TlsMode::VerifyIdentity, Some(file)) => Verification::Identity(named_authorities(&file)?),
        (TlsMode::VerifyIdentity, None) => Verification::Identity(system_authorities()?),
    }))
}

/// The error for a certificate without its key, or a key without its certificate.
fn without_pair(layers: &Layers, key: Key<PathBuf>, missing: &str) -> Error {
    let what = "stands alone: a certificate and its key belong together";
    let refused = layers.refuse(key, what);
    refused.with_hint(format!("add {missing}"))
}

fn named_authorities(file: &WithOrigin<PathBuf>) -> Result<Authorities> {
    let file = PemFile::read(keys::TLS_CA_FILE, file)?;
    let certificates = file.certificates()?;
    for (index, certificate) in certificates.iter().enumerate() {
        if webpki::anchor_from_trusted_cert(certificate).is_err() {
            let what = format!("whose certificate number {} cannot be read", index + 1);
            return Err(file.refuse(&what, "leave it out of the file, or issue it again"));
        }
    }
    Ok(Authorities::Named(certificates.into(), file.path.into()))
}

/// Returns the system's trust store, or the built-in CAs if the system has none.
fn system_authorities() -> Result<Authorities> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("a part of the system's trust store is passed over: {error}");
    }
    // A certificate that cannot be read or used is left out: that trusts fewer
    // servers, never more.
    let is_usable =
        |certificate: &CertificateDer<'_>| webpki::anchor_from_trusted_cert(certificate).is_ok();
    let certificates: Vec<_> = found.certs.into_iter().filter(is_usable).collect();
    if !certificates.is_empty() {
        tracing::debug!("the system's trust store has {} CAs", certificates.len());
        return Ok(Authorities::System(certificates.into()));
    }
    // A trust store that the user has chosen is not replaced by the public CAs.
    let chosen = STORE_VARIABLES.into_iter().find_map(|name| {
        let path = env::var_os(name).filter(|path| !path.is_empty())?;
        Some(format!("{name} names {}", Path::new(&path).display()))
    });
    let what = match (chosen, found.errors.first()) {
        (Some(chosen), _) => format!("{chosen}, which holds no certificate that can be used"),
        (None, Some(error)) => format!("the system's trust store cannot be read: {error}"),
        (None, None) => {
            tracing::info!(
                "the system has no trust store: the public CAs built into this program are trusted"
            );
            return Ok(Authorities::BuiltIn);
        }
    };
    Err(Error::config(what).with_hint("--tls-ca-file FILE names who vouches for the server"))
}

fn client_certificate(
    cert: &WithOrigin<PathBuf>,
    key: &WithOrigin<PathBuf>,
) -> Result<ClientCertificate> {
    let cert = PemFile::read(keys::TLS_CERT, cert)?;
    let chain = cert.certificates()?;
    let file = PemFile::read(keys::TLS_KEY, key)?;
    let key = file.private_key()?;
    let pair = CertifiedKey::from_der(chain.clone(), key.clone_key(), &ring::default_provider());
    match pair {
        Ok(_) => Ok(ClientCertificate {
            chain,
            key: Arc::new(key),
        }),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let cert = cert.path.display();
            let what = format!("which does not belong to the certificate in {cert}");
            Err(file.refuse(&what, "its own certificate comes first in the file of --tls-cert"))
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) => Err(cert.refuse(
            "whose certificate is X.509 version 1, or broken",
            "issue it again as version 3: openssl x509 -req … -extfile FILE, where FILE has an extension",
        )),
        Err(rustls::Error::InvalidCertificate(_)) => {
            Err(cert.refuse("whose certificate is broken", "issue it again"))
        }
        Err(_) => Err(file.refuse("whose key is of a kind that is not supported", KEY_TYPES_HINT)),
    }
}

/// Reads the server's RSA key, in DER form.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a file that holds
/// something else.
pub(super) fn server_public_key(layers: &Layers) -> Result<Option<Vec<u8>>> {
    let Some(file) = layers.get(keys::SERVER_PUBLIC_KEY) else {
        return Ok(None);
    };
    let file = PemFile::read(keys::SERVER_PUBLIC_KEY, &file)?;
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(&file.bytes).flatten();
    let key = sections.find_map(|(kind, der)| (kind == SectionKind::PublicKey).then_some(der));
    match key.filter(|der| is_rsa_key(der).is_some()) {
        Some(key) => Ok(Some(key)),
        None => Err(file.refuse(
            "which holds no RSA public key in PEM form",
            "the server keeps it as public_key.pem in its data directory",
        )),
    }
}

/// A file in PEM form (RFC 7468) that a setting names.
struct PemFile<'a> {
    key: Key<PathBuf>,
    origin: &'a Origin,
    path: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> PemFile<'a> {
    fn read(key: Key<PathBuf>, found: &'a WithOrigin<PathBuf>) -> Result<Self> {
        let path = &found.value;
        let mut file = Self {
            key,
            origin: &found.origin,
            path,
            bytes: Vec::new(),
        };
        match fs::read(path) {
            Ok(bytes) => file.bytes = bytes,
            Err(error) => {
                let what = format!("which cannot be read: {error}");
                return Err(file.refuse(&what, "name a file that your account can read"));
            }
        }
        Ok(file)
    }

    fn refuse(&self, what: &str, hint: &str) -> Error {
        let what = format!("names {}, {what}", self.path.display());
        self.origin.refuse(self.key, &what).with_hint(hint)
    }

    /// The error for a file without a usable `item`.
    fn refuse_without(&self, item: &str, error: &pem::Error, hint: &str) -> Error {
        let what = match error {
            pem::Error::NoItemsFound => format!("which holds no {item} in PEM form"),
            pem::Error::MissingSectionEnd { .. } => "which ends too early".to_owned(),
            _ => format!("whose {item} is broken"),
        };
        self.refuse(&what, hint)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let found = CertificateDer::pem_slice_iter(&self.bytes).collect::<Result<Vec<_>, _>>();
        let found = found.and_then(|found| match found.is_empty() {
            true => Err(pem::Error::NoItemsFound),
            false => Ok(found),
        });
        let hint = "it begins with -----BEGIN CERTIFICATE-----; openssl x509 -inform der and openssl pkcs12 make that of other forms";
        found.map_err(|error| self.refuse_without("certificate", &error, hint))
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| {
            let text = String::from_utf8_lossy(&self.bytes);
            let markers = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
            if markers.iter().any(|marker| text.contains(marker)) {
                let shown = self.path.display();
                let hint = format!("decrypt it first: openssl pkey -in {shown} -out plain.pem");
                return self.refuse("whose key is encrypted", &hint);
            }
            let hint = "it begins with -----BEGIN PRIVATE KEY-----, RSA PRIVATE KEY or EC PRIVATE KEY; openssl pkey makes that of other forms";
            self.refuse_without("private key", &error, hint)
        })
    }
}

/// Whether `der` is an RSA key of 2048 bits at least (RFC 5280, section 4.1, and
/// RFC 8017, appendix A.1.1). The driver panics on anything else.
fn is_rsa_key(der: &[u8]) -> Option<()> {
    const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    /// In bytes.
    const MIN_MODULUS: usize = 256;
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
    (algorithm == RSA && modulus.len() >= MIN_MODULUS && !exponent.is_empty()).then_some(())
}

/// Returns the content of the DER element of type `tag` at the start of `der`, and
/// the bytes after the element (ITU-T X.690, section 8.1).
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
