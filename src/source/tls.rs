//! TLS connections of the driver: which CAs may sign the server's certificate,
//! the client's certificate, and the proof that all data came encrypted.
//!
//! The driver always trusts the public CAs (`webpki-roots`), whatever else it is
//! given. Therefore the process's rustls provider checks signatures by
//! [`RestrictedAlgorithm`], which refuses those of CAs that the configuration does
//! not name.

use std::{
    cell::RefCell,
    fs::{self, File},
    io::{self, Write},
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use mysql::{ClientIdentity, Conn, SslOpts};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustls::{
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring},
    pki_types::{
        AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
    },
};

use super::driver::{self, text};
use super::tls_options::{Authorities, TlsOptions, Verification};

thread_local! {
    /// The public keys that this thread must not trust while it opens a
    /// connection. `None`: it trusts no key.
    static DISTRUSTED: RefCell<Option<Arc<[Vec<u8>]>>> = const { RefCell::new(None) };
}

/// Checks the signatures on certificates, and refuses those by distrusted keys.
#[derive(Debug)]
struct RestrictedAlgorithm(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for RestrictedAlgorithm {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if is_distrusted(public_key) {
            return Err(InvalidSignature);
        }
        self.0.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

fn is_distrusted(public_key: &[u8]) -> bool {
    DISTRUSTED.with_borrow(|distrusted| match distrusted {
        // A CA's SubjectPublicKeyInfo ends in its key (RFC 5280, section 4.1).
        Some(keys) => keys.iter().any(|key| key.ends_with(public_key)),
        None => true,
    })
}

/// The driver's options for a TLS connection, and what this process must keep for
/// them.
pub(super) struct TlsSetup {
    pub options: SslOpts,
    distrusted: Arc<[Vec<u8>]>,
    /// The driver reads certificates and keys by path while it connects.
    _files: Vec<MemFd>,
}

impl TlsSetup {
    /// # Errors
    /// The system's, if certificates cannot be held in memory.
    pub fn new(tls: &TlsOptions) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut options = SslOpts::default();
        let mut distrusted = Vec::new();
        match &tls.verification {
            Verification::None => options = options.with_danger_accept_invalid_certs(true),
            Verification::Authority(_) => {
                options = options.with_danger_skip_domain_validation(true);
            }
            Verification::Identity(_) => {}
        }
        let authorities = tls.verification.authorities();
        if let Some(certificates) = authorities.and_then(Authorities::certificates) {
            let file = MemFd::new(pem("CERTIFICATE", certificates).as_bytes())?;
            options = options.with_root_cert_path(Some(file.path()));
            files.push(file);
            distrusted = other_keys(certificates);
        }
        if let Some(client) = &tls.client {
            let chain = MemFd::new(pem("CERTIFICATE", &client.chain).as_bytes())?;
            let key = MemFd::new(client.key.secret_der())?;
            let identity = ClientIdentity::new(chain.path(), key.path());
            options = options.with_client_identity(Some(identity));
            files.extend([chain, key]);
        }
        Ok(Self {
            options,
            distrusted: distrusted.into(),
            _files: files,
        })
    }

    /// Makes this thread check signatures for this connection.
    pub fn install(&self) {
        DISTRUSTED.set(Some(Arc::clone(&self.distrusted)));
    }
}

/// Whether the installation of the provider succeeded. It is empty before the
/// first call of [`install_tls_provider`].
static IS_INSTALLED: OnceLock<bool> = OnceLock::new();

/// Installs the process-wide rustls provider that TLS connections need.
///
/// The driver always trusts the public CAs, and this provider rejects their
/// signatures in connections that name other CAs. A program calls it once, before
/// its first connection with TLS, and before anything else installs a provider.
/// If another provider is installed already, connections with TLS fail with
/// [`ErrorKind::Connect`](crate::error::ErrorKind::Connect). Further calls do
/// nothing.
pub fn install_tls_provider() {
    IS_INSTALLED.get_or_init(|| restricted_provider().install_default().is_ok());
}

/// Whether the provider is installed.
pub(super) fn is_provider_installed() -> bool {
    IS_INSTALLED.get() == Some(&true)
}

fn restricted_provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    // rustls wants static references. The process leaks these once.
    let restrict = |algorithm: &&'static dyn SignatureVerificationAlgorithm| {
        &*Box::leak(Box::new(RestrictedAlgorithm(*algorithm)))
            as &'static dyn SignatureVerificationAlgorithm
    };
    let restricted = algorithms.all.iter().map(restrict).collect::<Vec<_>>();
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
        all: Box::leak(restricted.into_boxed_slice()),
        ..algorithms
    };
    provider
}

/// Returns the SubjectPublicKeyInfo of each of the driver's own CAs that is not
/// among `certificates`.
fn other_keys(certificates: &[CertificateDer<'_>]) -> Vec<Vec<u8>> {
    let anchors = certificates.iter().map(webpki::anchor_from_trusted_cert);
    let ours: Vec<_> = anchors
        .flatten()
        .map(|anchor| anchor.subject_public_key_info.to_vec())
        .collect();
    let builtin = webpki_roots::TLS_SERVER_ROOTS.iter();
    let builtin = builtin.map(|anchor| anchor.subject_public_key_info.to_vec());
    builtin.filter(|key| !ours.contains(key)).collect()
}

/// Encodes `sections` as PEM, of which the driver reads several in one file
/// (RFC 7468, section 2).
pub(super) fn pem(label: &str, sections: &[impl AsRef<[u8]>]) -> String {
    let mut text = String::new();
    for section in sections {
        let body = STANDARD.encode(section);
        text += &format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    }
    text
}

/// A file in memory (memfd, Linux), for the driver, which takes certificates and
/// keys only by path. It works without a writable disk, and when the certificates
/// came from a pipe.
pub(super) struct MemFd(File);

impl MemFd {
    /// # Errors
    /// The system's, also if /proc is not mounted.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(c"gold_digger", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(bytes)?;
        let file = Self(file);
        // It fails if /proc is not mounted.
        fs::metadata(file.path())?;
        Ok(file)
    }

    /// Returns a path by which each reader starts at the file's beginning.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// What an attacker on the way has done to a session over TLS.
pub(super) enum Tampering {
    /// The client has read data that did not come encrypted.
    Injected,
    /// The session differs from the one that was requested.
    Modified,
}

/// Makes the server prove that `conn` reads encrypted data from it: the server
/// returns a random number that no one could know before. Returns the connection's
/// id as the server knows it.
///
/// The driver keeps the data that it has read after the server's greeting, and
/// reads it again as if it had come encrypted. An attacker on the way can insert
/// answers there, rows included, but not the answer to this query. Once that has
/// come, none of the inserted data is left. (STARTTLS injection in mail is the
/// same weakness: RFC 3207, section 6.)
///
/// An attacker can also change the plain text before encryption in both
/// directions. Therefore the connection id of the greeting is queried again. The
/// capabilities in the request for encryption are sent a second time under
/// encryption, but servers ignore that copy. Two of them can change a result: the
/// default database, which the caller must select again, and the SQL mode
/// IGNORE_SPACE.
pub(super) fn verify_channel(conn: &mut Conn) -> mysql::Result<Result<u32, Tampering>> {
    // A session begins with the global mode, unless init_connect has set another.
    let mode = "@@SESSION.sql_mode LIKE '%IGNORE_SPACE%' AND @@GLOBAL.sql_mode NOT LIKE \
                '%IGNORE_SPACE%' AND @@GLOBAL.init_connect = ''";
    match query_proof(conn, mode) {
        // Servers of other kinds may lack these variables.
        Err(mysql::Error::MySqlError(_)) => query_proof(conn, "FALSE"),
        answer => answer,
    }
}

/// Returns a random number, or `None` if the system has none.
pub(super) fn random_number() -> Option<u128> {
    let mut bytes = [0; 16];
    let random = ring::default_provider().secure_random;
    random.fill(&mut bytes).ok()?;
    Some(u128::from_ne_bytes(bytes))
}

fn query_proof(conn: &mut Conn, is_modified: &str) -> mysql::Result<Result<u32, Tampering>> {
    let Some(number) = random_number() else {
        return Ok(Err(Tampering::Injected));
    };
    let number = format!("{number:032x}");
    // The clause LIMIT takes precedence over a limit of the server, which may be 0.
    let sql = format!("SELECT '{number}', CONNECTION_ID(), {is_modified} LIMIT 1");
    let answer = driver::ask(conn, &sql)?;
    let column = |index| text(answer.first()?, index);
    if column(0).as_deref() != Some(&number) {
        return Ok(Err(Tampering::Injected));
    }
    if column(2).is_some_and(|is_modified| is_modified != "0") {
        return Ok(Err(Tampering::Modified));
    }
    let id = column(1).and_then(|id| id.parse().ok());
    Ok(Ok(id.unwrap_or(conn.connection_id())))
}

#[cfg(test)]
mod tests {
    use std::slice;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{
        CertificateError, Error, RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        pki_types::{ServerName, UnixTime},
    };

    use super::*;

    struct Authority {
        certificate: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let certificate = params.self_signed(&key).expect("a certificate");
            Self {
                certificate: certificate.der().clone(),
                issuer: Issuer::new(params, key),
            }
        }

        /// Returns a server's certificate and the intermediate CA's, which this
        /// authority has signed.
        fn chain(&self) -> [CertificateDer<'static>; 2] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, "in between");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let between = params.signed_by(&key, &self.issuer).expect("a certificate");
            let between_issuer = Issuer::new(params, key);
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(["db".to_owned()]).expect("a name");
            let server = params
                .signed_by(&key, &between_issuer)
                .expect("a certificate");
            [server.der().clone(), between.der().clone()]
        }
    }

    /// Makes this thread trust only `certificates` of all CAs that the driver
    /// knows.
    fn trust(certificates: &[CertificateDer<'static>]) {
        let authorities = Authorities::Named(certificates.into(), PathBuf::new());
        let tls = TlsOptions {
            verification: Verification::Authority(authorities),
            client: None,
        };
        TlsSetup::new(&tls).expect("memory").install();
    }

    #[test]
    fn a_root_that_the_driver_trusts_is_accepted_only_if_it_is_named() {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        // The driver's verifier trusts all roots.
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for authority in [&ours, &other] {
            roots.add(authority.certificate.clone()).expect("a root");
        }
        install_tls_provider();
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots));
        let verifier = verifier.build().expect("a verifier");
        let verify = |authority: &Authority| {
            let [server, between] = authority.chain();
            let name = ServerName::try_from("db").expect("a name");
            verifier.verify_server_cert(&server, &[between], &name, &[], UnixTime::now())
        };
        // Without an installed setup, the thread trusts no key.
        assert!(verify(&ours).is_err());
        trust(slice::from_ref(&ours.certificate));
        let keys = other_keys(slice::from_ref(&ours.certificate));
        let other_key = webpki::anchor_from_trusted_cert(&other.certificate);
        let other_key = other_key.expect("a root").subject_public_key_info.to_vec();
        DISTRUSTED.set(Some([keys, vec![other_key]].concat().into()));
        assert!(verify(&ours).is_ok());
        let refused = verify(&other).expect_err("a refusal");
        assert_eq!(
            refused,
            Error::InvalidCertificate(CertificateError::BadSignature)
        );
    }

    #[test]
    fn no_public_ca_is_trusted_beside_a_named_ca() {
        // The key is in the bit string after the algorithm.
        let key = |information: &[u8]| {
            let skip = |der: &[u8]| match der[1] {
                0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
                0x81 => (3, usize::from(der[2])),
                short => (2, usize::from(short)),
            };
            let (header, length) = skip(information);
            let bits = &information[header + length..];
            bits[skip(bits).0 + 1..].to_vec()
        };
        let keys = webpki_roots::TLS_SERVER_ROOTS.iter();
        let keys: Vec<_> = keys
            .map(|root| key(&root.subject_public_key_info))
            .collect();
        let ours = Authority::new("ours");
        trust(slice::from_ref(&ours.certificate));
        assert!(keys.len() > 100 && keys.iter().all(|key| is_distrusted(key)));
        let own = webpki::anchor_from_trusted_cert(&ours.certificate).expect("a root");
        assert!(!is_distrusted(&key(&own.subject_public_key_info)));
        // Without a list of CAs, the public ones are trusted.
        let tls = TlsOptions {
            verification: Verification::Identity(Authorities::BuiltIn),
            client: None,
        };
        TlsSetup::new(&tls).expect("memory").install();
        assert!(!keys.iter().any(|key| is_distrusted(key)));
    }
}
