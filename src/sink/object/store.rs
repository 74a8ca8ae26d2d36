//! Connections to object stores: the credentials and the endpoint come from the
//! environment and from the vendors' files, as for the vendors' own programs.

use std::{
    collections::HashMap,
    env, fs,
    io::{self, BufReader},
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, OnceLock},
    time::Duration,
};

use object_store::{
    ClientConfigKey, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    client::{HttpClient, HttpConnector},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};
use reqwest::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::ExposeSecret;

use super::{
    errors::store_error,
    profile,
    url::{ObjectUrl, Service},
};
use crate::{
    error::{Error, ErrorKind, Result},
    sync::lock,
};

/// How long a connection may take, and the answer to a request with a part of the object, or
/// the next bytes of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a request is sent again after failures that may pass.
const RETRY_TIMEOUT: Duration = Duration::from_secs(300);

/// How often credentials are asked of the machine's own service, which is not there on most
/// machines.
const CREDENTIAL_RETRIES: usize = 1;

/// A connection to a bucket.
pub(super) struct Store {
    pub objects: Arc<dyn ObjectStore>,
    /// The same connection in the form that S3 alone needs.
    pub s3: Option<S3>,
}

/// S3 completes an upload only where no object is yet, if a header says so, which
/// `object_store` does not send of its own.
pub(super) struct S3 {
    pub plain: Arc<AmazonS3>,
    pub if_absent: Arc<AmazonS3>,
}

/// The connections, by the service and the bucket.
type Stores = HashMap<(Service, String), Arc<Store>>;

/// Returns the connection to the bucket of `url`, of which there is one.
///
/// # Errors
/// [`ErrorKind::Output`], if the environment does not say how to connect.
pub(super) fn open(url: &ObjectUrl) -> Result<Arc<Store>> {
    static OPEN: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);
    let mut stores = lock(&OPEN);
    let name = (url.service, url.bucket.clone());
    if let Some(store) = stores.get(&name) {
        return Ok(Arc::clone(store));
    }
    // The clients need it while they are made.
    let _runtime = super::runtime::handle()?.enter();
    let store = Arc::new(match url.service {
        Service::S3 => open_s3(url)?,
        Service::Google => Store {
            objects: Arc::new(open_google(url)?),
            s3: None,
        },
        Service::Azure => Store {
            objects: Arc::new(open_azure(url)?),
            s3: None,
        },
    });
    stores.insert(name, Arc::clone(&store));
    Ok(store)
}

fn open_s3(url: &ObjectUrl) -> Result<Store> {
    let failed = |error| store_error(url, "open", &error);
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&url.bucket);
    let value = |builder: &AmazonS3Builder, key| builder.get_config_value(&key);
    if value(&builder, AmazonS3ConfigKey::Checksum).is_none() {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    let is_set = |key| value(&builder, key).is_some();
    for (key, name) in [
        (AmazonS3ConfigKey::AccessKeyId, "AWS_ACCESS_KEY_ID"),
        (AmazonS3ConfigKey::SecretAccessKey, "AWS_SECRET_ACCESS_KEY"),
        (AmazonS3ConfigKey::Token, "AWS_SESSION_TOKEN"),
        (AmazonS3ConfigKey::Region, "AWS_REGION"),
        (AmazonS3ConfigKey::Endpoint, "AWS_ENDPOINT_URL"),
        (AmazonS3ConfigKey::S3Endpoint, "AWS_ENDPOINT_URL_S3"),
    ] {
        let is_part = |c: char| c.is_ascii_graphic();
        if value(&builder, key).is_some_and(|value| !value.chars().all(is_part)) {
            let problem =
                format!("{name} has a blank, a line end or another sign in it that it cannot have");
            return Err(refused(url, &problem));
        }
    }
    let has_credentials = is_set(AmazonS3ConfigKey::AccessKeyId)
        || is_set(AmazonS3ConfigKey::SecretAccessKey)
        || is_set(AmazonS3ConfigKey::WebIdentityTokenFile);
    // Only what a profile lacks of keys is an error, and only where they are needed.
    let profile = profile::read().map_err(|problem| refused(url, &problem));
    let profile = match has_credentials {
        true => profile.unwrap_or_default(),
        false => profile?,
    };
    let keys = profile.keys.filter(|_| !has_credentials);
    if let (false, Some(region)) = (is_set(AmazonS3ConfigKey::Region), profile.region) {
        builder = builder.with_region(region);
    }
    if let (None, Some(endpoint)) = (endpoint_of_s3(&builder), profile.endpoint) {
        builder = builder.with_endpoint(endpoint);
    }
    let is_allowed = value(
        &builder,
        AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp),
    );
    let options = client_options(url, endpoint_of_s3(&builder), is_allowed, "AWS_ALLOW_HTTP")?;
    builder = builder
        // Some stores have no request that removes several.
        .with_disable_bulk_delete(true)
        .with_client_options(options.clone())
        .with_http_connector(Connector);
    builder = if let Some(keys) = keys {
        let credentials = AwsCredential {
            key_id: keys.id,
            secret_key: keys.secret.expose_secret().to_owned(),
            token: keys.token.map(|token| token.expose_secret().to_owned()),
        };
        builder.with_credentials(Arc::new(StaticCredentialProvider::new(credentials)))
    } else if has_credentials {
        builder
    } else {
        let probe = builder.clone().with_retry(RetryConfig {
            max_retries: CREDENTIAL_RETRIES,
            ..RetryConfig::default()
        });
        let probe = probe.build().map_err(failed)?;
        builder.with_credentials(Arc::clone(probe.credentials()))
    };
    let plain = builder.with_retry(retries());
    let mut headers = HeaderMap::new();
    headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    let if_absent = plain
        .clone()
        .with_client_options(options.with_default_headers(headers));
    let plain = Arc::new(plain.build().map_err(failed)?);
    let objects: Arc<dyn ObjectStore> = Arc::clone(&plain) as _;
    Ok(Store {
        objects,
        s3: Some(S3 {
            plain,
            if_absent: Arc::new(if_absent.build().map_err(failed)?),
        }),
    })
}

fn endpoint_of_s3(builder: &AmazonS3Builder) -> Option<String> {
    let of_s3 = builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
    of_s3.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
}

fn open_google(url: &ObjectUrl) -> Result<impl ObjectStore> {
    let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&url.bucket);
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let is_allowed = env::var("GOOGLE_ALLOW_HTTP").ok();
    let options = client_options(url, endpoint, is_allowed, "GOOGLE_ALLOW_HTTP")?;
    let store = builder
        .with_client_options(options)
        .with_http_connector(Connector)
        .with_retry(retries())
        .build();
    store.map_err(|error| store_error(url, "open", &error))
}

fn open_azure(url: &ObjectUrl) -> Result<impl ObjectStore> {
    let builder = MicrosoftAzureBuilder::from_env().with_container_name(&url.bucket);
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let is_allowed = builder.get_config_value(&AzureConfigKey::Client(ClientConfigKey::AllowHttp));
    let options = client_options(url, endpoint, is_allowed, "AZURE_ALLOW_HTTP")?;
    let store = builder
        .with_client_options(options)
        .with_http_connector(Connector)
        .with_retry(retries())
        .build();
    store.map_err(|error| store_error(url, "open", &error))
}

fn retries() -> RetryConfig {
    RetryConfig {
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

/// Returns the error of a store that cannot be opened, because of `problem`.
fn refused(url: &ObjectUrl, problem: &str) -> Error {
    Error::new(ErrorKind::Output, format!("cannot open {url}: {problem}"))
}

/// Returns the options of a client. What is not encrypted stays on this machine, unless the
/// variable called `variable` has allowed it.
fn client_options(
    url: &ObjectUrl,
    endpoint: Option<String>,
    is_allowed: Option<String>,
    variable: &str,
) -> Result<ClientOptions> {
    let is_allowed = is_allowed.is_some_and(|value| value == "true" || value == "1");
    let endpoint = endpoint.unwrap_or_default();
    let is_plain = endpoint.starts_with("http://");
    if is_plain && !is_allowed && !is_loopback(&endpoint) {
        let problem = "its endpoint is http://, which is not encrypted";
        let hint = format!("name an endpoint with https://, or set {variable}=true");
        return Err(refused(url, problem).with_hint(hint));
    }
    Ok(ClientOptions::new().with_allow_http(is_plain))
}

/// Whether the host of the URL `endpoint` is this machine.
fn is_loopback(endpoint: &str) -> bool {
    let Ok(endpoint) = reqwest::Url::parse(endpoint) else {
        return false;
    };
    let host = endpoint.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Makes HTTP clients whose TLS trusts the system's CAs. The process's own provider is for
/// servers of databases, and trusts what their connections name.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let is_plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
                store: "HTTP",
                source: error,
            };
        // Several clients of a store have it, and reading the CAs takes a while.
        static TLS: OnceLock<ClientConfig> = OnceLock::new();
        let tls = match TLS.get() {
            Some(tls) => tls.clone(),
            None => {
                let made = tls_config().map_err(|error| failed(error.into()))?;
                TLS.get_or_init(|| made).clone()
            }
        };
        let is_plain = is_plain.as_deref() == Some("true");
        let mut client = reqwest::Client::builder();
        if is_plain {
            // A proxy would see all, also what is for this machine alone.
            client = client.no_proxy();
        }
        let client = client
            .https_only(!is_plain)
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(ANSWER_TIMEOUT)
            .user_agent(concat!("gold_digger/", env!("CARGO_PKG_VERSION")))
            // A signature is for one place.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(HttpClient::new(
            client.map_err(|error| failed(error.into()))?,
        ))
    }
}

/// Returns the settings of TLS: the CAs of the system, or of `SSL_CERT_FILE`, and those of
/// `AWS_CA_BUNDLE`.
fn tls_config() -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        let failed =
            |problem: String| io::Error::other(format!("AWS_CA_BUNDLE cannot be read: {problem}"));
        let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        for certificate in CertificateDer::pem_reader_iter(BufReader::new(file)) {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| failed(error.to_string()))?;
        }
    }
    let provider = Arc::new(ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (endpoint, is_own) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000/x", true),
            ("http://[::1]:9000", true),
            ("http://127.0.0.1.example.com", false),
            ("http://minio:9000", false),
            ("http://localhost@minio:9000", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(endpoint), is_own, "{endpoint}");
        }
        let url = ObjectUrl::parse("s3://b/k".as_ref()).expect("a URL");
        let options = |allowed: Option<&str>| {
            let allowed = allowed.map(str::to_owned);
            client_options(&url, Some("http://minio:9000".to_owned()), allowed, "V")
        };
        let error = options(None).expect_err("refused");
        assert_eq!(
            error.message(),
            "cannot open s3://b/k: its endpoint is http://, which is not encrypted"
        );
        assert!(options(Some("true")).is_ok());
    }
}
