//! A strict S3 server of the tests' own: it checks signatures, checksums and the sizes of
//! parts, keeps objects as files, and misbehaves on purpose.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{GoldDigger, certificates::Identity};

/// What the server does with a request that it is to misbehave on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It answers with this status and S3's code.
    Answer(u16, &'static str),
    /// It closes the connection.
    Reset,
    /// It does what is asked, and closes the connection instead of an answer.
    LoseAnswer,
    /// It answers as usual, after so many milliseconds.
    Wait(u64),
}

/// A fault of the next `times` requests of `method` whose URL has `part` in it.
struct Planned {
    method: &'static str,
    part: &'static str,
    times: usize,
    fault: Fault,
}

pub struct S3 {
    pub endpoint: String,
    root: TempDir,
    faults: Arc<Mutex<Vec<Planned>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

pub const KEY: &str = "AKIDTEST";
pub const SECRET: &str = "s3cr3t/of+tests";

impl S3 {
    /// Starts a server with a bucket called `bucket`.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts one that speaks TLS with the certificate of `identity`.
    pub fn start_tls(identity: &Identity) -> Self {
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
        let chain: Result<Vec<_>, _> = chain.collect();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth();
        let config = builder.with_single_cert(chain.expect("a chain"), key);
        Self::start_with(Some(Arc::new(config.expect("a configuration")).into()))
    }

    fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("bucket")).expect("a bucket");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).expect("a root"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let server = Self {
            endpoint: format!("{scheme}://127.0.0.1:{port}"),
            root,
            faults: Arc::default(),
            requests: Arc::default(),
        };
        let answering = Answering {
            service: builder.build(),
            faults: Arc::clone(&server.faults),
            requests: Arc::clone(&server.requests),
        };
        // It ends with the process of the tests.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(accept(listener, tls, answering));
        });
        server
    }

    /// Misbehaves on the next `times` requests of `method` whose URL has `part` in it.
    pub fn misbehave(&self, times: usize, method: &'static str, part: &'static str, fault: Fault) {
        let planned = Planned {
            method,
            part,
            times,
            fault,
        };
        self.faults.lock().expect("faults").push(planned);
    }

    /// Misbehaves no more.
    pub fn behave(&self) {
        self.faults.lock().expect("faults").clear();
    }

    /// Returns the requests so far, such as `PUT /bucket/x.csv`, and forgets them.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("requests"))
    }

    pub fn path(&self, key: &str) -> PathBuf {
        self.root.path().join("bucket").join(key)
    }

    /// Returns the object with the key `key`, if it is there.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        fs::read(self.path(key)).ok()
    }

    /// Returns the keys of all objects, in their order.
    pub fn keys(&self) -> Vec<String> {
        let pattern = format!("{}/**/*", self.path("").display());
        let found = glob::glob(&pattern).expect("a pattern").flatten();
        let files = found.filter(|path| path.is_file());
        let bucket = self.path("");
        let key = |path: PathBuf| {
            path.strip_prefix(&bucket)
                .map(|key| key.display().to_string())
        };
        let mut keys: Vec<String> = files.flat_map(key).collect();
        keys.sort();
        keys
    }

    /// Returns the number of uploads and of parts that are neither completed nor aborted.
    pub fn unfinished(&self) -> usize {
        let names = super::file_names(self.root.path()).into_iter();
        names.filter(|name| name.starts_with(".upload")).count()
    }

    /// Lets `run` connect to the server.
    pub fn reach(&self, run: GoldDigger) -> GoldDigger {
        run.env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1")
    }
}

#[derive(Clone)]
struct Answering {
    service: S3Service,
    faults: Arc<Mutex<Vec<Planned>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, answering: Answering) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let answering = answering.clone();
        match tls.clone() {
            None => drop(tokio::spawn(serve(socket, answering))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(socket) = tls.accept(socket).await {
                    serve(socket, answering).await;
                }
            })),
        }
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, answering: Answering) {
    let answer = service_fn(move |request| {
        let answering = answering.clone();
        async move { answering.answer(request).await }
    });
    // A fault ends the connection.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(socket), answer)
        .await;
}

impl Answering {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, String> {
        let url = request.uri().to_string();
        let method = request.method().to_string();
        self.requests
            .lock()
            .expect("requests")
            .push(format!("{method} {url}"));
        let fault = self.fault(&method, &url);
        match fault {
            Some(Fault::Answer(status, code)) => {
                let body = format!(
                    "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>As planned.</Message></Error>"
                );
                let answer = Response::builder().status(status).body(Body::from(body));
                return answer.map_err(|error| error.to_string());
            }
            Some(Fault::Reset) => return Err("as planned".to_owned()),
            Some(Fault::Wait(time)) => {
                tokio::time::sleep(std::time::Duration::from_millis(time)).await;
            }
            Some(Fault::LoseAnswer) | None => {}
        }
        let answer = self.service.call(request.map(Body::from)).await;
        match fault {
            Some(Fault::LoseAnswer) => Err("as planned".to_owned()),
            _ => answer.map_err(|error| format!("{error:?}")),
        }
    }

    fn fault(&self, method: &str, url: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("faults");
        let planned = faults.iter_mut().find(|planned| {
            planned.times > 0 && planned.method == method && url.contains(planned.part)
        })?;
        planned.times -= 1;
        Some(planned.fault)
    }
}
