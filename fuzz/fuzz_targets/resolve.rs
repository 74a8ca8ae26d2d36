//! Resolves the configuration as the program does, but never asks for a password.

use gold_digger::{
    cli::args::{Args, Request},
    config::{self, Interaction, Rejected, Task},
};

/// Resolves `args` with all other layers of the configuration.
///
/// # Errors
/// [`Rejected`] if the configuration is wrong.
pub fn resolve(args: Args) -> Result<Task, Rejected> {
    let Request::Resolve(request) = args.request else {
        panic!("the arguments need no configuration");
    };
    let interaction = Interaction {
        ask: &|_| panic!("a password is asked for"),
        warn: &|_| (),
        stdout: config::StandardOutput::Stream,
    };
    config::resolve(args.layer, request, &args.reporting, &interaction)
}
