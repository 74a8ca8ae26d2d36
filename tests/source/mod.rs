//! The connection to the server: addresses, logins, encryption, wire protocols and
//! hostile servers.

mod connecting;
mod hostile;
mod login;
mod protocols;
mod server_warnings;
mod session;
mod tampering;
mod tls;
