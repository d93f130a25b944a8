//! The .deb, which `dpkg-deb` makes: every Debian has it, and cargo-deb, which would have to be built first, takes minutes
//! for that. `[package.metadata.deb]` in Cargo.toml has cargo-deb's names for what Cargo.toml does not say otherwise.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::files::{self, Shipped};
use super::{Release, command};
use crate::run;

/// Of this version the first package.
const REVISION: &str = "1";

/// Makes the package out of the files that have a place in it.
pub(super) fn package(
    release: &Release,
    files: &[Shipped],
    stage: &Path,
    dist: &Path,
) -> anyhow::Result<PathBuf> {
    let root = stage.join("deb");
    let mut kept = Vec::new();
    for file in files {
        let Some(path) = &file.in_deb else { continue };
        files::write(&root.join(path), &file.bytes, file.mode)?;
        if file.is_packed {
            files::pack(&root.join(path))?;
            kept.push(format!("{path}.gz"));
        } else {
            kept.push(path.clone());
        }
    }
    kept.sort();
    let mut sums = command("md5sum", &["--"]);
    sums.args(&kept).current_dir(&root);
    files::write(&root.join("DEBIAN/md5sums"), &run::output(sums)?, 0o644)?;
    files::write(&root.join("DEBIAN/control"), control(release, &root, &kept)?.as_bytes(), 0o644)?;
    files::open_directories(&root)?;
    let path = dist.join(format!("perftool_{}-{REVISION}_amd64.deb", release.version));
    let mut build = command("dpkg-deb", &["--root-owner-group", "-Zxz", "--build"]);
    build.arg(&root).arg(&path).env("SOURCE_DATE_EPOCH", &release.epoch);
    // Threads of xz cut the data into blocks, as many as there are processors.
    build.env("DPKG_DEB_THREADS_MAX", "1");
    run::output(build)?;
    Ok(path)
}

/// The package's description. A static binary depends on nothing.
fn control(release: &Release, root: &Path, files: &[String]) -> anyhow::Result<String> {
    let mut kib = 0;
    for file in files {
        kib += fs::metadata(root.join(file))?.len().div_ceil(1024);
    }
    let of_deb = |field: &str| {
        let text = release.package["metadata"]["deb"][field].as_str();
        text.with_context(|| format!("Cargo.toml does not say package.metadata.deb.{field}"))
    };
    let mut control = String::new();
    for (field, text) in [
        ("Package", "perftool"),
        ("Version", &format!("{}-{REVISION}", release.version)),
        ("Architecture", "amd64"),
        ("Maintainer", of_deb("maintainer")?),
        ("Installed-Size", &kib.to_string()),
        ("Suggests", of_deb("suggests")?),
        ("Section", of_deb("section")?),
        ("Priority", of_deb("priority")?),
        ("Description", &description(release.text("description")?)),
    ] {
        writeln!(control, "{field}: {text}")?;
    }
    for line in of_deb("extended-description")?.trim().lines() {
        writeln!(control, " {}", if line.is_empty() { "." } else { line })?;
    }
    Ok(control)
}

/// The description as Debian has it: no article, no capital.
fn description(text: &str) -> String {
    let text = text.strip_prefix("A ").unwrap_or(text);
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

/// What Debian calls a changelog; what changed stands in the other one.
pub(super) fn changelog(release: &Release) -> anyhow::Result<String> {
    let mut date = command("date", &["--utc", "--rfc-email", "--date"]);
    date.arg(format!("@{}", release.epoch)).env("LC_ALL", "C");
    let date = String::from_utf8(run::output(date)?)?;
    let version = &release.version;
    let maintainer = release.package["metadata"]["deb"]["maintainer"].as_str().unwrap_or_default();
    Ok(format!(
        "perftool ({version}-{REVISION}) unstable; urgency=medium\n\n  * Version {version}: see changelog.gz.\n\n \
         -- {maintainer}  {date}"
    ))
}

/// Whose it is, and what one may do with it.
pub(super) fn copyright(mit: &[u8], others: &str) -> Vec<u8> {
    let mut text = b"perftool is licensed under either of the Apache License, Version 2.0, whose text is in
/usr/share/common-licenses/Apache-2.0, or the following licence, at your option.\n\n"
        .to_vec();
    text.extend(mit);
    text.extend(b"\n");
    text.extend(others.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_no_article_and_no_full_stop() {
        assert_eq!(description("A filter for streams."), "filter for streams");
        assert_eq!(description("Amends it"), "Amends it");
    }
}
