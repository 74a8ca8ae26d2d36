//! The connection to the server: addresses, logins, encryption, wire protocols and
//! hostile servers.

mod connecting;
mod hostile;
mod login;
mod protocols;
mod session;
mod tampering;
mod tls;
