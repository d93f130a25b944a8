//! The table of subcommands.

use clap::ArgAction;

use self::sections::HelpSection;
use crate::exit;

mod buildid_list;
mod bundle;
pub(crate) mod completions;
mod diff;
mod dump;
mod file_options;
mod inject;
pub(crate) mod man;
pub(crate) mod options;
mod sections;
mod unbundle;

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

        /// What stands behind the options of each subcommand.
        const SECTIONS_OF: &[(&str, &[HelpSection])] = &[$((stringify!($module), $module::SECTIONS),)*];
    };
}

subcommands! {
    /// Filter perf data from a pipe or file, and inject build-ids into it
    ///
    /// What is read is written, in its order and at once. What is injected stands in front of the record that needs it. Without
    /// an option that asks for more, a pipe is copied, and a file is written anew, in the format that its output needs.
    ///
    /// Build-ids come from the recording, from the files and processes of this machine if they are proven to be the recorded
    /// ones, and from where options say.
    Inject(inject);
    /// List the build-ids in a recording
    ///
    /// The text is that of perf buildid-list: a line has the build-id and the name of a DSO.
    BuildidList(buildid_list);
    /// Print a recording as text, a line a record
    ///
    /// In front stand the header, the events and the features. Then comes one line a record, in the order of the recording, with
    /// all of its fields by their names in C. The text is the same for the same recording everywhere.
    Dump(dump);
    /// Compare two recordings, record by record
    ///
    /// Each of them is a recording, or a dump that was kept, of text or JSON. Offsets are not compared, and neither is whether
    /// the records are in a file or a stream. A record that was changed has a line with its fields that were behind it.
    Diff(diff);
    /// Pack a recording with the files that its symbols are in
    ///
    /// Elsewhere, perftool unbundle or tar unpacks both, and perf report reads them there. Packed are the files that samples
    /// hit, if they are proven to be the recorded ones, and the kernel's symbols.
    Bundle(bundle);
    /// Unpack what perftool bundle has packed, and check it
    ///
    /// The command line that reads it with perf is printed.
    Unbundle(unbundle);
    /// Print the man pages, or write them to a directory
    Man(man);
    /// Print what a shell needs to complete perftool's command line
    Completions(completions);
}

/// What stands behind the program's own options.
const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perf record -o - CMD | perftool inject -b | perf report -i -",
            "perftool buildid-list -i perf.data",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            exit::OF_SUCCESS,
            ("1", "Damaged or unreadable data, or a failed write."),
            exit::OF_USAGE,
            exit::OF_SIGNALS,
            exit::OF_READER_GONE,
        ],
    ),
    ENVIRONMENT,
    HelpSection::See(&[
        "perftool-inject(1)",
        "perftool-buildid-list(1)",
        "perftool-dump(1)",
        "perftool-diff(1)",
        "perftool-bundle(1)",
        "perftool-unbundle(1)",
        "perftool-man(1)",
        "perftool-completions(1)",
        "perf(1)",
        "perf-record(1)",
        "perf-report(1)",
    ]),
];

/// What those subcommands that read recordings look for.
const ENVIRONMENT: HelpSection = HelpSection::Terms(
    "Environment",
    &[("TMPDIR", "Where a packed recording in file format is unpacked to, if there is no output file.")],
);

/// What stands behind the options of a subcommand; nothing behind those of one that is not ours.
fn sections_of(subcommand: &str) -> &'static [HelpSection] {
    let of = |(module, _): &&(&str, &[HelpSection])| module.replace('_', "-") == subcommand;
    SECTIONS_OF.iter().find(of).map_or(&[], |(_, sections)| sections)
}

/// The command with what stands behind its options: in the short help the examples alone.
pub(crate) fn with_sections(command: clap::Command) -> clap::Command {
    let with = |command: clap::Command, sections: &'static [HelpSection]| {
        let examples = sections.iter().filter(|section| matches!(section, HelpSection::Commands(..)));
        command.after_help(sections::as_help(examples)).after_long_help(sections::as_help(sections))
    };
    with(command, SECTIONS).mut_subcommands(|subcommand| {
        let sections = sections_of(subcommand.get_name());
        with(subcommand, sections)
    })
}

/// How much is reported, the same options in every subcommand.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Verbosity {
    /// Report more: each build-id as it is found
    ///
    /// Given twice, it reports yet more. By default there are warnings and errors.
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Report nothing but errors
    ///
    /// There are no warnings, and no progress on a terminal.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
