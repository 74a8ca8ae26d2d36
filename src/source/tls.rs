//! Encryption as the driver does it, held to what was configured: who may vouch
//! for the server, what we show it, and that nothing was slipped in before
//! encryption began.
//!
//! The driver always trusts the CAs of the web, whatever else it is given. What
//! checks signatures for it is therefore ours: it refuses those of CAs that the
//! configuration does not name.

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
    /// The public keys whose signatures vouch for nobody in the connection that
    /// this thread opens; without any, none is checked, and none vouches.
    static DISTRUSTED: RefCell<Option<Arc<[Vec<u8>]>>> = const { RefCell::new(None) };
}

/// An algorithm that checks the signatures on certificates, but not those of
/// distrusted keys.
#[derive(Debug)]
struct Guarded(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Guarded {
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
        // A CA's public key information ends in its key (RFC 5280, section 4.1).
        Some(keys) => keys.iter().any(|key| key.ends_with(public_key)),
        None => true,
    })
}

/// What a connection over TLS needs of its thread and its process.
pub(super) struct Preparation {
    /// For the driver.
    pub options: SslOpts,
    distrusted: Arc<[Vec<u8>]>,
    /// The driver reads these by their paths, so that they must outlive it.
    _files: Vec<MemoryFile>,
}

impl Preparation {
    /// # Errors
    /// Where memory for the certificates cannot be had.
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
            let file = MemoryFile::new(pem("CERTIFICATE", certificates).as_bytes())?;
            options = options.with_root_cert_path(Some(file.path()));
            files.push(file);
            distrusted = other_keys(certificates);
        }
        if let Some(client) = &tls.client {
            let chain = MemoryFile::new(pem("CERTIFICATE", &client.chain).as_bytes())?;
            let key = MemoryFile::new(client.key.secret_der())?;
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

    /// Has this thread check signatures for this connection.
    pub fn take_effect(&self) {
        DISTRUSTED.set(Some(Arc::clone(&self.distrusted)));
    }
}

/// Whether every check of a certificate's signature in this process is restricted,
/// once that was tried.
static GUARD: OnceLock<bool> = OnceLock::new();

/// Installs the process-wide rustls provider that TLS connections need: the driver
/// always trusts the CAs of the web, and this provider rejects their signatures
/// where a connection names other CAs. To be called once, before the first
/// connection with TLS, and before anything else installs a provider.
pub fn install_tls_provider() {
    GUARD.get_or_init(|| guarded_provider().install_default().is_ok());
}

/// Whether the provider is installed.
pub(super) fn is_provider_installed() -> bool {
    GUARD.get() == Some(&true)
}

fn guarded_provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    // They live as long as the process, which installs them once.
    let guarded = |algorithm: &&'static dyn SignatureVerificationAlgorithm| {
        &*Box::leak(Box::new(Guarded(*algorithm))) as &'static dyn SignatureVerificationAlgorithm
    };
    let guarded = algorithms.all.iter().map(guarded).collect::<Vec<_>>();
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
        all: Box::leak(guarded.into_boxed_slice()),
        ..algorithms
    };
    provider
}

/// The public key information of the driver's own CAs that are not among
/// `certificates`.
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

/// `sections` in PEM form, as the driver reads several (RFC 7468, section 2).
pub(super) fn pem(label: &str, sections: &[impl AsRef<[u8]>]) -> String {
    let mut text = String::new();
    for section in sections {
        let body = STANDARD.encode(section);
        text += &format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    }
    text
}

/// A file that never touches a disk, for a driver that takes only paths.
pub(super) struct MemoryFile(File);

impl MemoryFile {
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(c"gold_digger", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(bytes)?;
        let file = Self(file);
        // Not where /proc is not mounted.
        fs::metadata(file.path())?;
        Ok(file)
    }

    /// Each reader of it starts at its beginning.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// What somebody on the way has done to a session over TLS.
pub(super) enum Tampering {
    /// Not everything that was read came encrypted.
    SlippedIn,
    /// The session is set up in another way than was asked for.
    Altered,
}

/// Has the server prove that what `conn` reads comes from it, encrypted: by
/// giving back a number that nobody could have known before. Gives the
/// connection's id, as the server knows it.
///
/// The driver keeps what it has read behind the server's greeting, and reads it
/// again as if it had come encrypted. Whoever is on the way can put answers
/// there, rows included, but not the answer to this; once it has come, nothing
/// of theirs is left. (The same weakness as STARTTLS injection in mail, RFC
/// 3207, section 6.)
///
/// What is said in plain text, both ways, can also be changed. The greeting's
/// connection id is therefore asked for again, and of the capabilities that ask
/// for encryption, whose copy under encryption servers pass over, two could
/// change a result: the default database, which the caller must choose again,
/// and the SQL mode IGNORE_SPACE.
pub(super) fn prove(conn: &mut Conn) -> mysql::Result<Result<u32, Tampering>> {
    // In the place of the default, what init_connect may set.
    let mode = "@@SESSION.sql_mode LIKE '%IGNORE_SPACE%' AND @@GLOBAL.sql_mode NOT LIKE \
                '%IGNORE_SPACE%' AND @@GLOBAL.init_connect = ''";
    match ask(conn, mode) {
        // A server without these variables has other ways.
        Err(mysql::Error::MySqlError(_)) => ask(conn, "FALSE"),
        answer => answer,
    }
}

/// A number that nobody knows; none where the system has none.
pub(super) fn random_number() -> Option<u128> {
    let mut bytes = [0; 16];
    let random = ring::default_provider().secure_random;
    random.fill(&mut bytes).ok()?;
    Some(u128::from_ne_bytes(bytes))
}

fn ask(conn: &mut Conn, is_altered: &str) -> mysql::Result<Result<u32, Tampering>> {
    let Some(number) = random_number() else {
        return Ok(Err(Tampering::SlippedIn));
    };
    let number = format!("{number:032x}");
    let sql = format!("SELECT '{number}', CONNECTION_ID(), {is_altered}");
    let answer = driver::ask(conn, &sql)?;
    let column = |index| text(answer.first()?, index);
    if column(0).as_deref() != Some(&number) {
        return Ok(Err(Tampering::SlippedIn));
    }
    if column(2).is_some_and(|is_altered| is_altered != "0") {
        return Ok(Err(Tampering::Altered));
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

        /// A server's certificate, and the one between it and this.
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

    /// What has this thread trust only `certificates` of all that the driver
    /// knows.
    fn trust(certificates: &[CertificateDer<'static>]) {
        let authorities = Authorities::Named(certificates.into(), PathBuf::new());
        let tls = TlsOptions {
            verification: Verification::Authority(authorities),
            client: None,
        };
        Preparation::new(&tls).expect("memory").take_effect();
    }

    #[test]
    fn a_root_that_the_driver_trusts_vouches_only_where_it_is_named() {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        // As the driver makes its verifier: of all roots.
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for authority in [&ours, &other] {
            roots.add(authority.certificate.clone()).expect("a root");
        }
        // By what this process checks signatures with.
        install_tls_provider();
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots));
        let verifier = verifier.build().expect("a verifier");
        let verify = |authority: &Authority| {
            let [server, between] = authority.chain();
            let name = ServerName::try_from("db").expect("a name");
            verifier.verify_server_cert(&server, &[between], &name, &[], UnixTime::now())
        };
        // Before anything is said, nobody vouches.
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
    fn no_key_of_the_web_vouches_beside_a_ca_that_is_named() {
        // The key itself, in the bit string behind the algorithm.
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
        // Without a list of CAs, those of the web are what there is.
        let tls = TlsOptions {
            verification: Verification::Identity(Authorities::BuiltIn),
            client: None,
        };
        Preparation::new(&tls).expect("memory").take_effect();
        assert!(!keys.iter().any(|key| is_distrusted(key)));
    }
}
