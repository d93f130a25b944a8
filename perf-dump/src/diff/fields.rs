//! The fields in which two lines of one type differ.

use bstr::{BStr, ByteSlice as _};

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldChange<'l> {
    /// The name, of one in a group with the group's name and a point in front.
    pub(super) name: String,
    /// What the first has; `None` where it has no such field.
    pub(super) old: Option<&'l BStr>,
    /// What the second has.
    pub(super) new: Option<&'l BStr>,
}

/// The first word of a line: its type of record.
pub(super) fn word(line: &[u8]) -> &BStr {
    match line.strip_prefix(b"{\"record\":\"") {
        Some(rest) => rest.split(|byte| *byte == b'"').next().unwrap_or_default().as_bstr(),
        None => line.split(|byte| *byte == b' ').next().unwrap_or_default().as_bstr(),
    }
}

/// The fields that differ, in the order of the first line.
pub(super) fn changed<'l>(old: &'l [u8], new: &'l [u8]) -> Vec<FieldChange<'l>> {
    let mut changes = Vec::new();
    match (inside(old, b"{", b"}"), inside(new, b"{", b"}")) {
        (Some(old), Some(new)) if old.starts_with(b"\"record\"") => compare("", old, new, b',', &mut changes),
        _ => compare("", old, new, b' ', &mut changes),
    }
    changes
}

fn inside<'l>(text: &'l [u8], open: &[u8], close: &[u8]) -> Option<&'l [u8]> {
    text.strip_prefix(open)?.strip_suffix(close)
}

fn compare<'l>(group: &str, old: &'l [u8], new: &'l [u8], separator: u8, changes: &mut Vec<FieldChange<'l>>) {
    let (old, new) = (split(old, separator), split(new, separator));
    for (name, value) in &old {
        let other = new.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
        if other == Some(*value) {
            continue;
        }
        // JSON's own member is none of the record's groups.
        let shown =
            if *name == "fields" && separator == b',' { String::new() } else { format!("{group}{name}") };
        let groups = other.and_then(|other| Some((inside(value, b"{", b"}")?, inside(other, b"{", b"}")?)));
        match groups {
            Some((old, new)) => {
                let prefix = if shown.is_empty() { shown } else { shown + "." };
                compare(&prefix, old, new, separator, changes);
            }
            None => changes.push(FieldChange { name: shown, old: Some(*value), new: other }),
        }
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.iter().any(|(other, _)| other == name)) {
        changes.push(FieldChange { name: format!("{group}{name}"), old: None, new: Some(*value) });
    }
}

/// The names and values between separators that are in no quotes and brackets.
fn split(text: &[u8], separator: u8) -> Vec<(&BStr, &BStr)> {
    let mut fields = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    let (mut in_quotes, mut is_escaped) = (false, false);
    let mut field = |from: usize, to: usize| {
        let field = text.get(from..to).unwrap_or_default();
        let (name, value) = match separator {
            b',' => {
                let Some((name, value)) = field.split_once_str("\":") else { return };
                (name.strip_prefix(b"\"").unwrap_or(name), value)
            }
            _ => {
                let Some((name, value)) = field.split_once_str("=") else { return };
                (name, value)
            }
        };
        fields.push((name.as_bstr(), value.as_bstr()));
    };
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_quotes => is_escaped = true,
            b'"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            b'{' | b'[' | b'<' => depth += 1,
            b'}' | b']' | b'>' => depth = depth.saturating_sub(1),
            byte if *byte == separator && depth == 0 => {
                field(start, at);
                start = at + 1;
            }
            _ => {}
        }
    }
    field(start, text.len());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        let or = |value: Option<&BStr>| value.map_or("none".to_owned(), ToString::to_string);
        let changes = changed(old.as_bytes(), new.as_bytes());
        changes
            .iter()
            .map(|change| format!("{}: {} {}", change.name, or(change.old), or(change.new)))
            .collect()
    }

    #[test]
    fn the_fields_that_differ_are_found_in_groups_too_and_in_text_as_in_json() {
        let old = r#"MMAP2 misc=USER pid=1 name="a b=\"c" list=[{x=1 y=2}] sample_id={pid=1 time=2}"#;
        let new = r#"MMAP2 pid=2 name="a b=\"d" list=[{x=1 y=3}] sample_id={pid=1 time=3} rest=00"#;
        let expected = [
            "misc: USER none",
            "pid: 1 2",
            r#"name: "a b=\"c" "a b=\"d""#,
            "list: [{x=1 y=2}] [{x=1 y=3}]",
            "sample_id.time: 2 3",
            "rest: none 00",
        ];
        assert_eq!(shown(old, new), expected);
        let old = r#"{"record":"COMM","fields":{"pid":1,"comm":"a,\"b","sample_id":{"time":2}}}"#;
        let new = r#"{"record":"COMM","fields":{"pid":1,"comm":"a,\"c","sample_id":{"time":3}}}"#;
        assert_eq!(shown(old, new), [r#"comm: "a,\"b" "a,\"c""#, "sample_id.time: 2 3"]);
        assert_eq!((word(old.as_bytes()), word(b"COMM pid=1")), ("COMM".into(), "COMM".into()));
    }
}
