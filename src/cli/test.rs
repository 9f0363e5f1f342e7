//! `medway test`: the tests inside channel files.
use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::terminal::Terminal;

/// Options of `test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Channel files, or folders of them.
    #[arg(default_value = "channels")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(_arguments: &TestArguments, _terminal: &Terminal) -> Result<(), Failure> {
    Ok(())
}
