//! The connection to the server: addresses, logins, encryption, wire protocols and
//! hostile servers.

mod charsets;
mod connecting;
mod expressions;
mod hostile;
mod late;
mod login;
mod lookup;
mod metadata;
mod other_servers;
mod protocols;
mod round_trips;
mod server_warnings;
mod session;
mod tampering;
mod time_zones;
mod tls;
