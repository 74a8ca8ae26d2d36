//! How the bytes travel: in plain text, or encrypted and vouched for by whom.
//!
//! The files that this takes are left to `certificates`, speaking TLS to the
//! source.

use std::path::Path;

use clap::ValueEnum;

use super::{
    layers::{Layers, Origin, Sourced},
    secrets::world_readable_warning,
    settings::{CLEARTEXT_PLUGIN, SSL, VERIFY_SERVER_CERT},
};
use crate::{
    error::Result,
    source::{Endpoint, tls_options::CleartextPlugin},
};

pub(super) const MODE: &str = "tls.mode";
pub(super) const CA_FILE: &str = "tls.ca_file";
pub(super) const CERT: &str = "tls.cert";
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

/// What asks for encryption of this connection, and where: not in an option
/// file, which is also for other servers.
pub(super) fn asked_for(layers: &Layers) -> Option<(&'static str, &Origin)> {
    let mode = layers.get(MODE).filter(|found| {
        let disabled = TlsMode::Disabled.name();
        found.text().is_some_and(|mode| mode != disabled.as_str())
    });
    let files = [CA_FILE, CERT, KEY].map(|name| (name, layers.get(name)));
    let asks = [(MODE, mode)].into_iter().chain(files);
    let asks = asks.filter_map(|(name, found)| Some((name, &found?.origin)));
    asks.min_by_key(|(_, origin)| origin.rank())
        .filter(|(_, origin)| !matches!(origin, Origin::OptionFile(_)))
}

/// The mode that holds for a server at `endpoint`, and where it comes from.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a mode that cannot
/// be had there.
pub(super) fn mode(
    layers: &Layers,
    endpoint: &Endpoint,
    socket: Option<&Origin>,
) -> Result<(TlsMode, Origin)> {
    let said = layers.choice::<TlsMode>(MODE)?;
    let origin = layers
        .get(MODE)
        .map_or(Origin::Default, |found| found.origin.clone());
    if let (Endpoint::Socket(path), Some(chosen)) = (endpoint, socket) {
        let asked = asked_for(layers).filter(|(_, origin)| origin.rank() <= chosen.rank());
        if let Some((name, origin)) = asked {
            let what = format!("cannot be had on the Unix socket {path}, which is never encrypted");
            return Err(origin.refuse(name, &what).with_hint(
                "leave it out, as nobody is between you and a socket, or connect to 127.0.0.1",
            ));
        }
        let is_said = said == Some(TlsMode::Disabled);
        return Ok((
            TlsMode::Disabled,
            if is_said { origin } else { Origin::Default },
        ));
    }
    let switch = |name| layers.get(name).map(|found| (found.is_on(), &found.origin));
    let (ssl, verify) = (switch(SSL), switch(VERIFY_SERVER_CERT));
    // Whoever names certificates wants them to be used, whatever a lower place
    // says.
    let modes = [MODE, SSL, VERIFY_SERVER_CERT].map(|name| layers.get(name));
    let ranks = modes.into_iter().flatten().map(|found| found.origin.rank());
    let rank = ranks.min().unwrap_or(Origin::Default.rank());
    let named = [CA_FILE, CERT, KEY].map(|name| layers.get(name));
    let mut named = named.into_iter().flatten();
    let is_named = named.any(|found| found.origin.rank() < rank);
    if let Some(mode) = said.filter(|mode| *mode >= TlsMode::VerifyCa || !is_named) {
        return Ok((mode, origin));
    }
    Ok(match (ssl, verify) {
        _ if is_named => (TlsMode::VerifyIdentity, Origin::Default),
        (Some((false, origin)), _) => (TlsMode::Disabled, origin.clone()),
        (_, Some((true, origin))) | (Some((true, origin)), None) => {
            (TlsMode::VerifyIdentity, origin.clone())
        }
        // To verify nothing is no reason to encrypt.
        (None, Some((false, _))) if endpoint.is_local() => (TlsMode::Disabled, Origin::Default),
        (_, Some((false, origin))) => (TlsMode::Required, origin.clone()),
        (None, None) if endpoint.is_local() => (TlsMode::Disabled, Origin::Default),
        (None, None) => (TlsMode::VerifyIdentity, Origin::Default),
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
    let idle = [
        (CA_FILE, mode <= TlsMode::Required),
        (CERT, mode == TlsMode::Disabled),
        (KEY, mode == TlsMode::Disabled),
    ];
    let idle = idle
        .iter()
        .filter(|(_, is_idle)| *is_idle && endpoint.is_tcp());
    warnings.extend(idle.filter_map(|(name, _)| {
        let subject = layers.get(name)?.origin.subject(name);
        let mode = mode.name();
        Some(format!(
            "{subject} is not used: the mode of encryption is {mode}"
        ))
    }));
    if mode != TlsMode::Disabled
        && let Some(key) = layers.get(KEY).and_then(Sourced::text)
    {
        warnings.extend(world_readable_warning(Path::new(key), "a private key"));
    }
    warnings
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
            .with_hint("it needs --tls verify-ca or verify-identity")),
    }
}
