//! The profiles of AWS's command line, which `object_store` does not read: the files
//! `~/.aws/credentials` and `~/.aws/config` (AWS CLI user guide, "Configuration and
//! credential file settings").

use std::{
    env, io,
    path::{Path, PathBuf},
};

use ini::{Ini, ParseOption, Properties};
use secrecy::SecretString;

/// What a profile says of the connection.
#[derive(Default)]
pub(super) struct Profile {
    pub keys: Option<Keys>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// The credentials of a profile.
pub(super) struct Keys {
    pub id: String,
    pub secret: SecretString,
    pub token: Option<SecretString>,
}

/// What a profile may have instead of keys.
const OTHER_SOURCES: [&str; 6] = [
    "credential_process",
    "sso_session",
    "sso_start_url",
    "source_profile",
    "credential_source",
    "login_session",
];

/// Reads the profile that the environment names, or else the default one.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub(super) fn read() -> Result<Profile, String> {
    let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
    let named = named.iter().find_map(|name| env::var(name).ok());
    let named = named.filter(|name| !name.is_empty());
    let home = env::var_os("HOME").map(PathBuf::from);
    let file = |variable: &str, name: &str| match env::var_os(variable) {
        Some(path) if !path.is_empty() => Some(PathBuf::from(path)),
        _ => home.as_ref().map(|home| home.join(".aws").join(name)),
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = file("AWS_CONFIG_FILE", "config");
    let files = [(credentials, false), (config, true)];
    from_files(named.as_deref(), &files)
}

/// Reads the profile called `named`, or else the default one, from `files`: their paths, and
/// whether a section is called `profile NAME` there.
fn from_files(named: Option<&str>, files: &[(Option<PathBuf>, bool)]) -> Result<Profile, String> {
    let name = named.unwrap_or("default");
    let (mut profile, mut is_found, mut other) = (Profile::default(), false, None);
    for (path, has_prefix) in files {
        let Some(path) = path else { continue };
        let Some(file) = read_file(path)? else {
            continue;
        };
        let prefixed = format!("profile {name}");
        let is_prefixed = *has_prefix && name != "default";
        let section = if is_prefixed { &prefixed } else { name };
        let Some(section) = file.section(Some(section)) else {
            continue;
        };
        is_found = true;
        let other_source = OTHER_SOURCES.iter().find(|key| section.contains_key(**key));
        other = other.or(other_source);
        profile.region = profile.region.or_else(|| text(section, "region"));
        profile.endpoint = profile.endpoint.or_else(|| text(section, "endpoint_url"));
        if profile.keys.is_none() {
            profile.keys = keys(section, name)?;
        }
    }
    match (named, other) {
        (Some(name), _) if !is_found => Err(format!("AWS has no profile called {name}")),
        (_, Some(other)) if profile.keys.is_none() => Err(format!(
            "the AWS profile {name} takes its credentials from {other}, which is not supported: \
             eval \"$(aws configure export-credentials --profile {name} --format env)\""
        )),
        _ => Ok(profile),
    }
}

fn read_file(path: &Path) -> Result<Option<Ini>, String> {
    // A backslash in a secret is one, and so is a quote.
    let as_it_is = ParseOption {
        enabled_quote: false,
        enabled_escape: false,
        ..ParseOption::default()
    };
    match Ini::load_from_file_opt(path, as_it_is) {
        Ok(file) => Ok(Some(file)),
        Err(ini::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(ini::Error::Io(error)) => Err(format!("cannot read {}: {error}", path.display())),
        // Its message may show a line with a secret.
        Err(ini::Error::Parse(error)) => Err(format!(
            "{}:{} is no setting and no section",
            path.display(),
            error.line
        )),
    }
}

fn keys(section: &Properties, name: &str) -> Result<Option<Keys>, String> {
    let id = text(section, "aws_access_key_id");
    let secret = text(section, "aws_secret_access_key");
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => Ok(Some(Keys {
            id,
            secret: secret.into(),
            token: text(section, "aws_session_token").map(Into::into),
        })),
        _ => Err(format!(
            "the AWS profile {name} has only one of aws_access_key_id and aws_secret_access_key"
        )),
    }
}

fn text(section: &Properties, key: &str) -> Option<String> {
    section
        .get(key)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;

    fn files(credentials: &str, config: &str) -> (tempfile::TempDir, Vec<(Option<PathBuf>, bool)>) {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, two] = ["credentials", "config"].map(|name| folder.path().join(name));
        fs::write(&one, credentials).expect("a file");
        fs::write(&two, config).expect("a file");
        (folder, vec![(Some(one), false), (Some(two), true)])
    }

    #[test]
    fn a_profile_is_of_both_files() {
        let (_folder, files) = files(
            "[default]\naws_access_key_id = A\naws_secret_access_key = s\\e/c=+ret\n\
             [n]\naws_access_key_id=B\naws_secret_access_key=\"t\"\naws_session_token=u\n",
            "[profile n]\nregion = eu-west-1\ns3 =\n  addressing_style = path\n\
             [default]\nendpoint_url = https://minio:9000\n",
        );
        let found = from_files(None, &files).unwrap_or_default();
        let keys = found.keys.expect("keys");
        assert_eq!(
            (&*keys.id, keys.secret.expose_secret()),
            ("A", "s\\e/c=+ret")
        );
        assert_eq!(found.endpoint.as_deref(), Some("https://minio:9000"));
        let found = from_files(Some("n"), &files).unwrap_or_default();
        let keys = found.keys.expect("keys");
        assert_eq!((&*keys.id, keys.secret.expose_secret()), ("B", "\"t\""));
        assert!(keys.token.is_some());
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn what_a_profile_lacks_is_told() {
        let (_folder, files) = files(
            "[half]\naws_access_key_id = A\n",
            "[profile sso]\nsso_session = x\nregion = r\n",
        );
        let told = |name| from_files(name, &files).err().unwrap_or_default();
        assert_eq!(told(None), "");
        assert_eq!(told(Some("x")), "AWS has no profile called x");
        assert!(told(Some("half")).ends_with("aws_access_key_id and aws_secret_access_key"));
        assert!(told(Some("sso")).starts_with(
            "the AWS profile sso takes its credentials from sso_session, which is not supported"
        ));
        let missing = [(Some("/nonexistent/credentials".into()), false)];
        assert!(from_files(None, &missing).is_ok_and(|found| found.keys.is_none()));
    }
}
