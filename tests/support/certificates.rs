//! Certificates for the tests: authorities and the certificates that they issue.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SigningKey, date_time_ymd,
};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Identity {
    /// Writes `NAME.pem` and `NAME-key.pem` into `folder`.
    pub fn write(&self, folder: &Path, name: &str) {
        for (name, text) in [
            (name.to_owned(), &self.certificate),
            (format!("{name}-key"), &self.key),
        ] {
            let path = folder.join(name).with_extension("pem");
            fs::write(&path, text).expect("a file");
            fs::set_permissions(path, Permissions::from_mode(0o600)).expect("my file");
        }
    }
}

/// The validity period of a certificate.
#[derive(Clone, Copy)]
pub enum Validity {
    Current,
    /// Up to the first day of 2020.
    Expired,
    /// From the first day of 2090 on.
    Future,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Issues a certificate for `names`, which are hosts or addresses.
    pub fn certify(&self, names: &[&str], validity: Validity) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = params(names, validity);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Issues a certificate of X.509 version 1, which has neither a version field
    /// nor extensions.
    pub fn certify_version_1(&self) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = params(&["localhost"], Validity::Current);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (_, signed) = element(certificate.der());
        let ((_, mut body), (_, rest)) = (element(signed), split_element(signed));
        body = split_element(body).1;
        let mut content = Vec::new();
        while !body.is_empty() {
            let (whole, next) = split_element(body);
            if whole[0] != 0xa3 {
                content.extend_from_slice(whole);
            }
            body = next;
        }
        let content = sequence(&content);
        let signature = self.issuer.key().sign(&content).expect("a signature");
        let bits = [&[0][..], &signature].concat();
        let (algorithm, _) = split_element(rest);
        let der = sequence(&[content, algorithm.to_vec(), tagged(0x03, &bits)].concat());
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        Identity {
            certificate: format!(
                "-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
            ),
            key: key.serialize_pem(),
        }
    }
}

/// Makes a self-signed certificate.
pub fn self_signed(names: &[&str]) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let certificate = params(names, Validity::Current).self_signed(&key);
    Identity {
        certificate: certificate.expect("a certificate").pem(),
        key: key.serialize_pem(),
    }
}

/// Returns the public key of the private key `pem`, in PEM form.
pub fn public_key(pem: &str) -> String {
    KeyPair::from_pem(pem).expect("a key").public_key_pem()
}

fn params(names: &[&str], validity: Validity) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params
        .distinguished_name
        .push(DnType::CommonName, "a server or a client");
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let (from, to) = match validity {
        Validity::Current => (2020, 2090),
        Validity::Expired => (2019, 2020),
        Validity::Future => (2090, 2091),
    };
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

/// Returns the header and the content of the first DER element of `der`.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        short => (2, usize::from(short)),
    };
    (&der[..start], &der[start..start + length])
}

/// Splits `der` after its first element.
fn split_element(der: &[u8]) -> (&[u8], &[u8]) {
    let (header, content) = element(der);
    der.split_at(header.len() + content.len())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    tagged(0x30, content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short element");
    let [high, low] = length.to_be_bytes();
    let header = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}
