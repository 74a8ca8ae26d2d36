//! The URL of an object: `s3://BUCKET/KEY`, and the same with `gs` and `az`.

use std::{fmt, path::Path};

/// The service that keeps an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Service {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage, whose buckets are called containers.
    Azure,
}

const SERVICES: [(&str, Service); 3] = [
    ("s3", Service::S3),
    ("gs", Service::Google),
    ("az", Service::Azure),
];

/// Schemes that other programs have for a service, and schemes that none of the services
/// has: a path like these is a mistake and no path of a file.
const OTHER_SCHEMES: [(&str, Option<&str>); 18] = [
    // In capital letters, as one place must have one name.
    ("s3", Some("s3")),
    ("gs", Some("gs")),
    ("az", Some("az")),
    ("s3a", Some("s3")),
    ("s3n", Some("s3")),
    ("gcs", Some("gs")),
    ("azure", Some("az")),
    ("adl", Some("az")),
    ("abfs", Some("az")),
    ("abfss", Some("az")),
    ("wasb", Some("az")),
    ("wasbs", Some("az")),
    ("http", None),
    ("https", None),
    ("ftp", None),
    ("sftp", None),
    ("hdfs", None),
    ("file", None),
];

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectUrl {
    pub service: Service,
    /// The bucket, or the container.
    pub bucket: String,
    /// The object's name within it, as it is: nothing in it is an escape.
    pub key: String,
}

impl ObjectUrl {
    /// Parses `path`, which is the URL of an object.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence. No part of the URL is in it, as it may
    /// hold a password.
    pub(super) fn parse(path: &Path) -> Result<Self, String> {
        let text = path.to_str().ok_or("is no UTF-8")?;
        let (scheme, rest) = text.split_once("://").ok_or("has no scheme")?;
        let is_it = |(name, _): &&(&str, Service)| *name == scheme;
        let service = SERVICES
            .iter()
            .find(is_it)
            .ok_or("has an unknown scheme")?
            .1;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains(['@', ':']) {
            let problem = "has a user, a password or a port in front of its path: the environment \
                           has the credentials and the endpoint";
            return Err(problem.to_owned());
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '$');
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            return Err(format!("has no bucket: it is {scheme}://BUCKET/KEY"));
        }
        if key.is_empty() || key.ends_with('/') {
            return Err("names no object in its bucket: a key does not end with /".to_owned());
        }
        if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err("has an empty part, . or .. between two / of its key".to_owned());
        }
        if key.chars().any(|c| c.is_ascii_control()) {
            return Err("has a control character in its key".to_owned());
        }
        // S3 and Google allow 1,024 bytes, Azure as many characters.
        if key.len() > 1024 {
            return Err("has a key of more than 1,024 bytes".to_owned());
        }
        Ok(Self {
            service,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SERVICES
            .iter()
            .find(|(_, service)| *service == self.service);
        let scheme = scheme.map_or("", |(name, _)| name);
        write!(f, "{scheme}://{}/{}", self.bucket, self.key)
    }
}

/// Returns the scheme of `path`, if it is a URL and not the path of a file.
fn scheme(path: &Path) -> Option<&str> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let end = bytes.windows(3).take(8).position(|three| three == b"://")?;
    str::from_utf8(&bytes[..end]).ok()
}

/// Returns whether `path` is the URL of an object, and not the path of a file.
///
/// ```
/// use gold_digger::sink::is_object;
/// assert!(is_object("s3://bucket/orders.csv".as_ref()));
/// assert!(!is_object("s3/orders.csv".as_ref()));
/// ```
#[must_use]
pub fn is_object(path: &Path) -> bool {
    let is_known = |scheme: &str| {
        let mut names = SERVICES.iter().map(|(name, _)| *name);
        names.any(|name| name == scheme)
    };
    scheme(path).is_some_and(is_known)
}

/// Checks the form of `path`, if it is a URL.
///
/// # Errors
/// What is wrong with it, as the end of a sentence, and what to do.
pub fn check_url(path: &Path) -> Result<(), (String, &'static str)> {
    const HINT: &str = "name an object as s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY";
    if is_object(path) {
        let url = ObjectUrl::parse(path).map_err(|what| (what, HINT))?;
        return match cfg!(feature = "object-store") {
            true => Ok(()),
            false => Err((
                format!("is {url}, and this build has no object stores"),
                "build it with the feature object-store",
            )),
        };
    }
    let Some(scheme) = scheme(path) else {
        return Ok(());
    };
    let is_it = |(name, _): &&(&str, Option<&str>)| name.eq_ignore_ascii_case(scheme);
    match OTHER_SCHEMES.iter().find(is_it) {
        None => Ok(()),
        Some((_, Some(ours))) => Err((
            format!("begins with {scheme}://, which is called {ours}:// here"),
            HINT,
        )),
        Some((name, None)) => Err((
            format!("begins with {name}://, which cannot be written"),
            HINT,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_as_they_stand() {
        for text in [
            "s3://bucket/key",
            "gs://a.b_c-d/x/y z/ü%20?#[1].csv.zst",
            "az://$root/2026-11-28/orders.csv",
        ] {
            let url = ObjectUrl::parse(Path::new(text)).expect(text);
            assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for (text, problem) in [
            ("s3://", "has no bucket"),
            ("s3:///key", "has no bucket"),
            ("s3://bucket", "names no object"),
            ("s3://bucket/", "names no object"),
            ("s3://bucket/a/", "names no object"),
            ("s3://bucket/a//b", "has an empty part"),
            ("s3://bucket/../b", "has an empty part"),
            ("s3://AKIA:hunter2@bucket/b", "has a user, a password"),
            ("s3://bu cket/b", "has no bucket"),
            ("s3://bucket/a\nb", "has a control character"),
        ] {
            let error = ObjectUrl::parse(Path::new(text)).expect_err(text);
            assert!(error.starts_with(problem), "{text}: {error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn other_schemes_are_no_paths() {
        for (text, what) in [
            (
                "s3a://b/k",
                "begins with s3a://, which is called s3:// here",
            ),
            ("S3://b/k", "begins with S3://, which is called s3:// here"),
            (
                "https://b/k",
                "begins with https://, which cannot be written",
            ),
        ] {
            assert_eq!(check_url(Path::new(text)).expect_err(text).0, what);
        }
        for text in [
            "orders.csv",
            "a/b://c",
            "x://y",
            "./s3://b/k",
            "",
            "s3:/b/k",
        ] {
            assert_eq!(check_url(Path::new(text)), Ok(()), "{text}");
            assert!(!is_object(Path::new(text)));
        }
    }
}
