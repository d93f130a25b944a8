//! The table of subcommands.

use clap::ArgAction;

mod buildid_list;
mod inject;
pub(crate) mod options;

macro_rules! subcommands {
    ($($(#[$meta:meta])* $variant:ident($module:ident);)*) => {
        /// The subcommand.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Command {
            $($(#[$meta])* $variant(Box<$module::Args>),)*
        }

        impl Command {
            /// Runs the subcommand.
            pub(crate) fn run(&self) -> anyhow::Result<()> {
                match self {
                    $(Self::$variant(args) => args.run(),)*
                }
            }
        }
    };
}

subcommands! {
    /// Filter perf data from a pipe or file, and inject build-ids into it.
    Inject(inject);
    /// List the build-ids in a recording.
    BuildidList(buildid_list);
}

/// How much is reported, the same options in every subcommand.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Verbosity {
    /// Report more: each build-id as it is found (repeatable).
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Report nothing but errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
