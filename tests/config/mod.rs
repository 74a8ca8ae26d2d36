//! Settings: their sources and precedence, credentials, and mistakes in them.

mod configuration;
mod credentials;
mod mistakes;
mod output_names;
