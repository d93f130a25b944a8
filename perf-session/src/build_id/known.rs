//! Ids that the user gave: a list of ids and names, as `buildid-list` prints it.

use bstr::{BStr, BString, ByteSlice as _};
use hashbrown::HashMap;
use perf_format::{BuildId, BuildIdError};

use super::{BuildIdSource, FoundId, NoBuildId, Origin};
use crate::dso::Dso;
use crate::machine::HOST;
use crate::recording::Recording;

/// Ids by the name of their DSO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    ids: HashMap<BString, BuildId>,
}

/// An entry of a list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadEntry {
    /// It has no blank between an id and a name.
    #[error("{0:?} is not an id, a blank and a name")]
    Form(BString),
    /// The text before the blank is no id.
    #[error("{entry:?} does not begin with a build-id")]
    Id {
        /// The entry.
        entry: BString,
        /// Why.
        source: BuildIdError,
    },
}

impl Known {
    /// Reads entries `HEX NAME`, with an id as linkers or `buildid-list` print it, separated by `separator`: a comma on a command line, a newline in a file. Blanks
    /// before an entry are skipped. An entry that has no id, as `buildid-list` prints a DSO without one, is ignored, as is
    /// one of zeros.
    ///
    /// # Errors
    /// The first entry that cannot be read.
    pub fn parse(list: &BStr, separator: u8) -> Result<Self, BadEntry> {
        let mut known = Self::default();
        for entry in list.split_str(&[separator]).filter(|entry| !entry.trim_ascii().is_empty()) {
            let without_id = separator == b'\n' && entry.starts_with(b" ");
            if without_id {
                continue;
            }
            let entry = entry.trim_ascii_start().as_bstr();
            let (hex, name) = entry.split_once_str(" ").ok_or_else(|| BadEntry::Form(entry.to_owned()))?;
            let id = match hex.to_str().map_err(|_| BuildIdError::Hex).and_then(str::parse) {
                Err(BuildIdError::Zeros) => continue,
                id => id.map_err(|source| BadEntry::Id { entry: entry.to_owned(), source })?,
            };
            known.ids.insert(name.trim_ascii_start().into(), id);
        }
        Ok(known)
    }

    /// The id that the user gave of a DSO.
    pub(crate) fn id_of(&self, dso: &Dso) -> Option<BuildId> {
        let known = if dso.machine == HOST { self.ids.get(&dso.name) } else { None };
        known.copied()
    }
}

impl BuildIdSource for Known {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        Ok(self.id_of(dso).map(|id| FoundId::from(Origin::Known, id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dso::DsoKind;

    fn parsed(list: &str, separator: u8) -> Result<Vec<(String, String)>, String> {
        let known = Known::parse(list.into(), separator).map_err(|error| error.to_string())?;
        let mut ids: Vec<_> = known.ids.iter().map(|(name, id)| (name.to_string(), id.to_string())).collect();
        ids.sort();
        Ok(ids)
    }

    #[test]
    fn lists_are_read_as_they_are_typed_and_as_they_are_printed() {
        let pair = |name: &str, id: &str| (name.to_owned(), id.to_owned());
        let typed = parsed("abcd /bin/a,  0102 /bin/with a blank,", b',');
        assert_eq!(typed, Ok(vec![pair("/bin/a", "abcd"), pair("/bin/with a blank", "0102")]));
        let printed = format!("{:<40} /bin/a\n{:<40} /bin/none\n{} [vdso]\n", "abcd", "", "ee".repeat(20));
        assert_eq!(
            parsed(&printed, b'\n'),
            Ok(vec![pair("/bin/a", "abcd"), pair("[vdso]", &"ee".repeat(20))])
        );
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_named() {
        assert_eq!(parsed("abcd", b','), Err("\"abcd\" is not an id, a blank and a name".to_owned()));
        let bad = "\"abc /x\" does not begin with a build-id".to_owned();
        assert_eq!(parsed("0102 /y,abc /x", b','), Err(bad));
    }

    #[test]
    fn of_more_than_20_bytes_the_first_20_are_known() {
        let (whole, first) = ("ab".repeat(32), "ab".repeat(20));
        assert_eq!(parsed(&format!("{whole} /x"), b','), Ok(vec![("/x".to_owned(), first)]));
    }

    #[test]
    fn zeros_are_no_known_id() {
        // perf prints an id of zeros as one.
        assert_eq!(parsed(&format!("{} /x\nabcd /y\n", "00".repeat(20)), b'\n').map(|ids| ids.len()), Ok(1));
    }

    #[test]
    fn a_known_id_is_of_the_host() {
        let mut known = Known::parse("abcd /bin/a".into(), b',').unwrap();
        let mut find_id = |machine| {
            known.build_id(&Dso::new(machine, DsoKind::File, "/bin/a".into()), &Recording::default())
        };
        assert!(find_id(HOST).unwrap().is_some());
        assert!(find_id(77).unwrap().is_none());
    }
}
