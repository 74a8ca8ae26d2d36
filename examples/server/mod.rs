//! The server that the examples connect to.

use std::{env, error::Error};

use gold_digger::source::ConnectOptions;

/// The server that DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME name: by
/// default, root at 127.0.0.1:3306.
pub fn from_environment() -> Result<ConnectOptions, Box<dyn Error>> {
    let variable =
        |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let port = variable("DB_PORT", "3306").parse()?;
    let mut server = ConnectOptions::tcp(variable("DB_HOST", "127.0.0.1"), port)
        .user(variable("DB_USER", "root"));
    if let Ok(password) = env::var("DB_PASSWORD") {
        server = server.password(password);
    }
    if let Ok(name) = env::var("DB_NAME") {
        server = server.database(name);
    }
    Ok(server)
}
