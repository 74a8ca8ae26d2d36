//! Placeholder merged away.
use std::time::Duration;

use secrecy::SecretString;

use super::{
    Access, Compression, ConnectOptions, Endpoint, SessionOptions, tls_options::CleartextPlugin,
};

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            access: Access::ReadOnly,
            time_zone: None,
            init: Vec::new(),
            statement_timeout: None,
        }
    }
}

impl ConnectOptions {
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            user: String::new(),
            password: None,
            database: None,
            tls: None,
            server_public_key: None,
            cleartext_plugin: CleartextPlugin::default(),
            compression: Compression::default(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: None,
        }
    }
    /// x
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::new(Endpoint::Tcp {
            host: host.into(),
            port,
        })
    }
    /// x
    pub fn socket(path: impl Into<String>) -> Self {
        Self::new(Endpoint::Socket(path.into()))
    }
    /// x
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }
    /// x
    pub fn password(mut self, password: impl Into<SecretString>) -> Self {
        self.password = Some(password.into());
        self
    }
    /// x
    pub fn database(mut self, name: impl Into<String>) -> Self {
        self.database = Some(name.into());
        self
    }
}
