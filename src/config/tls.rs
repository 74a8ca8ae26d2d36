//! Resolves the mode of encryption and warns about weak modes.
//!
//! `certificates` reads the files that the mode needs; the source speaks TLS.

use clap::ValueEnum;

use super::{
    layers::Layers,
    origin::Origin,
    secrets::world_readable_warning,
    settings::{Setting, Value, keys},
};
use crate::{
    error::Result,
    source::{Endpoint, tls_options::CleartextPlugin},
};

/// The settings that name certificates and keys.
const FILES: [&Setting; 3] = [
    keys::TLS_CA_FILE.setting(),
    keys::TLS_CERT.setting(),
    keys::TLS_KEY.setting(),
];

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
    pub(super) fn from_mysql(name: &str) -> Option<Self> {
        Self::from_str(&name.replace('_', "-"), true).ok()
    }

    /// The name that `--tls` takes.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl From<TlsMode> for Value {
    fn from(mode: TlsMode) -> Self {
        Self::new(mode, mode.name().into())
    }
}

/// Returns the setting that asks for encryption, and its origin. An option file does
/// not count, because it is also for other servers.
pub(super) fn encryption_request(layers: &Layers) -> Option<(&'static Setting, &Origin)> {
    let is_mode = layers.value(keys::TLS_MODE) != Some(TlsMode::Disabled);
    let mode = is_mode.then_some(keys::TLS_MODE.setting());
    let asks = mode.into_iter().chain(FILES);
    let asks = asks.filter_map(|setting| Some((setting, layers.origin(setting)?)));
    asks.min_by_key(|(_, origin)| origin.rank())
        .filter(|(_, origin)| !matches!(origin, Origin::OptionFile(_)))
}

/// Returns the mode for a server at `endpoint`, and its origin. `socket` is the
/// origin of a Unix socket.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a mode that a
/// socket does not have.
pub(super) fn mode(
    layers: &Layers,
    endpoint: &Endpoint,
    socket: Option<&Origin>,
) -> Result<(TlsMode, Origin)> {
    let given = layers.value(keys::TLS_MODE);
    let origin = layers.origin(keys::TLS_MODE);
    let origin = origin.cloned().unwrap_or(Origin::Default);
    if let (Endpoint::Socket(path), Some(socket)) = (endpoint, socket) {
        let asked = encryption_request(layers).filter(|(_, origin)| origin.rank() <= socket.rank());
        if let Some((setting, origin)) = asked {
            let what = format!("cannot be had on the Unix socket {path}, which is never encrypted");
            return Err(origin.refuse(setting, &what).with_hint(
                "leave it out, as nobody is between you and a socket, or connect to 127.0.0.1",
            ));
        }
        let is_given = given == Some(TlsMode::Disabled);
        return Ok((
            TlsMode::Disabled,
            if is_given { origin } else { Origin::Default },
        ));
    }
    let switch = |key| layers.get(key).map(|found| (found.value, found.origin));
    let (ssl, verify) = (switch(keys::SSL), switch(keys::VERIFY_SERVER_CERT));
    // Certificates that a higher layer names are used, whatever a lower layer sets
    // for encryption.
    let origins = [
        layers.origin(keys::TLS_MODE),
        layers.origin(keys::SSL),
        layers.origin(keys::VERIFY_SERVER_CERT),
    ];
    let ranks = origins.into_iter().flatten().map(Origin::rank);
    let rank = ranks.min().unwrap_or(Origin::Default.rank());
    let mut files = FILES.into_iter().filter_map(|file| layers.origin(file));
    let is_named = files.any(|origin| origin.rank() < rank);
    if let Some(mode) = given.filter(|mode| *mode >= TlsMode::VerifyCa || !is_named) {
        return Ok((mode, origin));
    }
    Ok(match (ssl, verify) {
        _ if is_named => (TlsMode::VerifyIdentity, Origin::Default),
        (Some((false, origin)), _) => (TlsMode::Disabled, origin),
        (_, Some((true, origin))) | (Some((true, origin)), None) => {
            (TlsMode::VerifyIdentity, origin)
        }
        // Turning verification off does not ask for encryption.
        (None, Some((false, _))) if endpoint.is_local() => (TlsMode::Disabled, Origin::Default),
        (_, Some((false, origin))) => (TlsMode::Required, origin),
        (None, None) if endpoint.is_local() => (TlsMode::Disabled, Origin::Default),
        (None, None) => (TlsMode::VerifyIdentity, Origin::Default),
    })
}

/// Returns the warnings about a connection to `endpoint` in `mode`. `origin` is the
/// origin of the mode.
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
        let subject = origin.subject(keys::TLS_MODE);
        let place = match origin {
            Origin::Flag(flag) if flag == "--tls" => format!("--tls {}", mode.name()),
            _ => subject,
        };
        warnings.push(format!("the connection to {endpoint} {what} ({place})"));
    }
    let unused = FILES.into_iter().filter(|file| {
        let is_unused = match file.is(keys::TLS_CA_FILE) {
            true => mode <= TlsMode::Required,
            false => mode == TlsMode::Disabled,
        };
        is_unused && endpoint.is_tcp()
    });
    warnings.extend(unused.filter_map(|file| {
        let subject = layers.origin(file)?.subject(file);
        let mode = mode.name();
        Some(format!(
            "{subject} is not used: the mode of encryption is {mode}"
        ))
    }));
    if mode != TlsMode::Disabled
        && let Some(key) = layers.value(keys::TLS_KEY)
    {
        warnings.extend(world_readable_warning(&key, "a private key"));
    }
    warnings
}

/// Whether the server may ask for the password in clear text.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if that is allowed
/// for a server whose certificate is not verified.
pub(super) fn cleartext_plugin(layers: &Layers, mode: TlsMode) -> Result<CleartextPlugin> {
    let Some(found) = layers.get(keys::CLEARTEXT_PLUGIN) else {
        return Ok(CleartextPlugin::Refuse);
    };
    match &found.origin {
        _ if !found.value => Ok(CleartextPlugin::Refuse),
        _ if mode >= TlsMode::VerifyCa => Ok(CleartextPlugin::Allow),
        // An option file is also for other servers, so it is no error there.
        Origin::OptionFile(_) => Ok(CleartextPlugin::Refuse),
        origin => Err(origin
            .refuse(
                keys::CLEARTEXT_PLUGIN,
                "would give the password to whoever answers",
            )
            .with_hint("it needs --tls verify-ca or verify-identity")),
    }
}
