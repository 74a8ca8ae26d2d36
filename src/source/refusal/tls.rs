//! Why TLS refused a connection: the server's certificate, the client's, or no
//! common version.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, pki_types::UnixTime};

use super::{
    super::{
        options::{ConnectOptions, Endpoint},
        tls_options::{Authorities, Verification},
    },
    ConnectError,
};

/// Explains an error of TLS.
pub(super) fn from_tls(error: &rustls::Error, connection: &ConnectOptions) -> ConnectError {
    use AlertDescription as Alert;
    use rustls::Error;
    match error {
        Error::InvalidCertificate(error) => from_certificate(error, connection),
        Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired),
        ) => client_certificate_refused(&format!("{alert:?}"), connection),
        Error::AlertReceived(
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => {
            let wanted = match &connection.tls {
                Some(tls) if tls.client.is_none() => "; or does it want --tls-cert?",
                _ => "",
            };
            ConnectError::new(
                format!("no TLS version or cipher that both sides have ({error})"),
                format!(
                    "the server must offer TLS 1.2 or 1.3 (its tls_version and ssl_cipher), and have a key \
                     that is RSA, P-256, P-384 or Ed25519{wanted}"
                ),
            )
        }
        Error::InvalidMessage(_) => ConnectError::new(
            "what answers there does not speak TLS as it says",
            "is that address a MySQL or MariaDB server?",
        ),
        error => ConnectError::new(format!("TLS failed: {error}"), "look into the server's log"),
    }
}

fn client_certificate_refused(alert: &str, connection: &ConnectOptions) -> ConnectError {
    let sent_one = connection
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client.is_some());
    if sent_one {
        ConnectError::new(
            format!("the server does not accept the certificate of --tls-cert ({alert})"),
            "is it current, and from the CA that the server trusts (its ssl_ca)?",
        )
    } else {
        ConnectError::new(
            format!("the server wants a certificate of ours ({alert})"),
            "--tls-cert and --tls-key show one",
        )
    }
}

fn from_certificate(error: &CertificateError, connection: &ConnectOptions) -> ConnectError {
    use CertificateError as Certificate;
    let host = match &connection.endpoint {
        Endpoint::Tcp { host, .. } => host.as_str(),
        Endpoint::Socket(path) => path,
    };
    let current = "renew the server's certificate; is this machine's clock right?";
    let unverified = "--tls required encrypts without checking it";
    let (what, hint) = match error {
        Certificate::NotValidForNameContext { presented, .. } if presented.is_empty() => (
            format!("its certificate is for no host at all (it has no subjectAltName), and {host} was asked for"),
            "issue it again with subjectAltName; --tls verify-ca --tls-ca-file FILE checks only who issued it".to_owned(),
        ),
        Certificate::NotValidForNameContext { presented, .. } => (
            format!("its certificate is for {}, and {host} was asked for", names(presented)),
            "use a name that it has, or issue it again; --tls verify-ca --tls-ca-file FILE checks only who issued it".to_owned(),
        ),
        Certificate::ExpiredContext { not_after, .. } => (
            format!("its certificate, or one that vouches for it, expired on {}", date(*not_after)),
            current.to_owned(),
        ),
        Certificate::NotValidYetContext { not_before, .. } => (
            format!("its certificate, or one that vouches for it, is not valid before {}", date(*not_before)),
            current.to_owned(),
        ),
        Certificate::UnknownIssuer | Certificate::BadSignature => return unknown_issuer(connection),
        Certificate::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::UnsupportedCertVersion) => (
                "its certificate, or one that vouches for it, is X.509 version 1, which cannot say whom it is for".to_owned(),
                format!("issue it again as version 3, with subjectAltName; {unverified}"),
            ),
            Some(webpki::Error::CaUsedAsEndEntity) => (
                "its certificate is a CA's own, and no server's".to_owned(),
                format!(
                    "issue it again for a server (openssl req -x509 with -addext basicConstraints=critical,CA:FALSE); {unverified}"
                ),
            ),
            Some(error) => (
                format!("its certificate, or one that vouches for it, cannot be used: {error}"),
                format!("issue it again; {unverified}"),
            ),
            None => (
                format!("its certificate cannot be used: {other}"),
                format!("issue it again; {unverified}"),
            ),
        },
        Certificate::UnsupportedSignatureAlgorithmContext { .. }
        | Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            "its certificate is signed in a way that is not supported".to_owned(),
            format!("issue it again, with keys that are RSA, P-256, P-384 or Ed25519, and SHA-256 or more; {unverified}"),
        ),
        error => (
            format!("its certificate cannot be used: {error}"),
            format!("issue it again; {unverified}"),
        ),
    };
    ConnectError::new(what, hint)
}

/// The error for a certificate that no trusted CA has issued. In most cases the
/// server has made it itself.
fn unknown_issuer(connection: &ConnectOptions) -> ConnectError {
    let tls = connection.tls.as_ref();
    let verification = tls.map(|tls| &tls.verification);
    let authorities = verification.and_then(Verification::authorities);
    let place = authorities.map(ToString::to_string).unwrap_or_default();
    let hint = match authorities {
        Some(Authorities::Named(..)) => {
            "the file must hold the CA that issued it; one in between may also be sent by the server, behind its own (ssl_cert)".to_owned()
        }
        _ => format!(
            "--tls-ca-file names your own CA; if the server made it itself, fetch it once, compare it with the server's: \
             `openssl s_client -starttls mysql -connect {} -showcerts </dev/null | sed -n '/BEGIN C/,/END C/p' >server-ca.pem`, \
             and add `--tls verify-ca --tls-ca-file server-ca.pem`; `--tls required` encrypts without checking it",
            connection.endpoint
        ),
    };
    ConnectError::new(
        format!("its certificate is not vouched for by {place}"),
        hint,
    )
}

/// Returns the names in a certificate, separated by commas. rustls gives them as
/// `DnsName("db")` and `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name
            .split_once('(')
            .map_or(name.as_str(), |(_, inner)| inner);
        let inner = inner.trim_end_matches(')').trim_matches('"');
        let address = inner.parse::<IpAddr>();
        address.map_or_else(|_| inner.to_owned(), |address| address.to_string())
    };
    let hosts = presented
        .iter()
        .filter(|name| !name.starts_with("Unsupported"));
    hosts.map(bare).collect::<Vec<_>>().join(", ")
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(
        |_| "a day beyond all calendars".to_owned(),
        |time| time.to_string(),
    )
}
