//! The table of subcommands, and how options are parsed: by perf's rules.

use clap::{Arg, ArgAction};

mod buildid_list;
mod inject;

macro_rules! subcommands {
    ($($(#[$meta:meta])* $variant:ident($module:ident);)*) => {
        /// The subcommand.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Command {
            $($(#[$meta])* $variant($module::Args),)*
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

/// Options as perf parses them: unique prefixes of long options, the last of several wins, and each switch has
/// its `--no-`.
pub(crate) fn as_perf_parses(command: clap::Command) -> clap::Command {
    command.args_override_self(true).mut_subcommands(|subcommand| {
        let switches: Vec<_> = subcommand
            .get_arguments()
            .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
            .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
            .collect();
        let mut subcommand = subcommand.args_override_self(true).infer_long_args(true);
        for (id, long) in switches {
            let no = format!("no-{long}");
            let off = Arg::new(no.clone()).long(no.clone()).action(ArgAction::SetTrue).hide(true);
            subcommand = subcommand.arg(off.overrides_with(&id)).mut_arg(&id, |on| on.overrides_with(no));
        }
        subcommand
    })
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
