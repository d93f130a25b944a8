//! Which of our crates may use which: the drawing in ARCHITECTURE.md. What they use of other people's is no
//! matter of this file.

use serde_json::Value;

const ARROWS: &[(&str, &[&str])] = &[
    ("perf-format", &[]),
    ("perf-session", &["perf-format"]),
    ("perf-unwind", &[]),
    ("jit-image", &["perf-format"]),
    ("perf-inject", &["perf-session", "perf-unwind", "jit-image", "perf-format"]),
    ("perf-buildid-list", &["perf-session", "perf-format"]),
    ("perf-dump", &["perf-session", "perf-format"]),
    ("perf-bundle", &["perf-session", "perf-format"]),
    ("debuginfod-client", &[]),
    (
        "perftool-cli",
        &[
            "perf-inject",
            "perf-buildid-list",
            "perf-dump",
            "perf-bundle",
            "debuginfod-client",
            "perf-session",
            "perf-format",
        ],
    ),
    (
        "perf-fuzz",
        &[
            "perf-inject",
            "perf-buildid-list",
            "perf-dump",
            "perf-bundle",
            "perf-session",
            "perf-unwind",
            "jit-image",
            "perf-format",
        ],
    ),
    ("xtask", &["perftool-cli", "perf-fuzz", "perf-format"]),
];

/// Every crate's tests may build streams, compare them as text, and ask for the laws.
const FOR_TESTS: [&str; 3] = ["perf-format", "perf-dump", "perf-fuzz"];

/// Checks what `cargo metadata` says.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let packages = || metadata["packages"].as_array().into_iter().flatten();
    let ours: Vec<_> = packages().filter_map(|package| package["name"].as_str()).collect();
    let mut findings = Vec::new();
    for (package, &from) in packages().zip(&ours) {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            findings.push(format!("{from}: it is in no drawing: give it a row in tidy/arrows.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(&to) = ours.iter().find(|name| dependency["name"] == **name) else { continue };
            // A crate's tests may ask for features of its own.
            let for_tests = dependency["kind"] == "dev" && (FOR_TESTS.contains(&to) || to == from);
            if !for_tests && !allowed.contains(&to) {
                findings.push(format!("{from}: it may not depend on {to}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A name and a kind.
    type Dependency = (&'static str, Option<&'static str>);

    fn metadata(crates: &[(&str, &[Dependency])]) -> Value {
        let dependency = |(name, kind): &Dependency| json!({ "name": name, "kind": kind });
        let package = |(name, dependencies): &(&str, &[_])| json!({ "name": name, "dependencies": dependencies.iter().map(dependency).collect::<Vec<_>>() });
        json!({ "packages": crates.iter().map(package).collect::<Vec<_>>() })
    }

    #[test]
    fn the_arrows_of_the_drawing_pass() {
        let metadata = metadata(&[
            ("perf-format", &[("bitflags", None), ("perf-format", Some("dev"))]),
            ("perf-session", &[("perf-format", None), ("object", None)]),
            ("perf-inject", &[("perf-session", None), ("perf-format", Some("dev"))]),
        ]);
        assert_eq!(check(&metadata), [""; 0]);
    }

    #[test]
    fn an_arrow_up_or_across_is_found() {
        let metadata = metadata(&[
            ("perf-format", &[("perf-session", Some("dev"))]),
            ("perf-session", &[]),
            ("perf-inject", &[("perf-buildid-list", Some("build"))]),
            ("perf-buildid-list", &[]),
        ]);
        let expected = [
            "perf-format: it may not depend on perf-session",
            "perf-inject: it may not depend on perf-buildid-list",
        ];
        assert_eq!(check(&metadata), expected);
    }

    #[test]
    fn a_crate_that_nobody_drew_is_found() {
        let findings = check(&metadata(&[("perf-utils", &[])]));
        assert!(findings[0].starts_with("perf-utils: it is in no drawing"), "{findings:?}");
    }
}
