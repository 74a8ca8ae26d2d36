//! Settings: their sources and precedence, credentials, and mistakes in them.

mod configuration;
mod credentials;
mod logins;
mod misplaced;
mod mistakes;
mod names;
mod output_names;
mod paths;
