//! What is in the packages: each file once, with its place in the tar.gz and in the .deb.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Release, command, deb, third_party};
use crate::run;

/// A file of the packages.
pub(super) struct Shipped {
    pub(super) in_tar: Option<String>,
    pub(super) in_deb: Option<String>,
    /// Whether it is packed with gzip in the .deb, as Debian wants texts.
    pub(super) is_packed: bool,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
}

impl Shipped {
    fn text(in_tar: Option<&str>, in_deb: Option<&str>, bytes: impl Into<Vec<u8>>) -> Self {
        let [in_tar, in_deb] = [in_tar, in_deb].map(|path| path.map(str::to_owned));
        Self { in_tar, in_deb, is_packed: false, mode: 0o644, bytes: bytes.into() }
    }
}

/// Shells: the place of their completions in the tar.gz, and in the .deb.
const COMPLETIONS: [(&str, &str, &str); 3] = [
    ("bash", "completions/perftool.bash", "usr/share/bash-completion/completions/perftool"),
    ("zsh", "completions/_perftool", "usr/share/zsh/vendor-completions/_perftool"),
    ("fish", "completions/perftool.fish", "usr/share/fish/vendor_completions.d/perftool.fish"),
];

/// Where Debian has what is to be read about a package.
const DOC: &str = "usr/share/doc/perftool";

/// All files. The binary says what its man pages and completions are.
pub(super) fn collect(
    release: &Release,
    source: &Path,
    binary: &Path,
    stage: &Path,
) -> anyhow::Result<Vec<Shipped>> {
    let read = |name: &str| fs::read(source.join(name)).with_context(|| format!("cannot read {name}"));
    let binary_bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let mut files = vec![Shipped {
        mode: 0o755,
        ..Shipped::text(Some("perftool"), Some("usr/bin/perftool"), binary_bytes)
    }];
    for page in man_pages(release, binary, stage)? {
        let name = page.file_name().context("a page has no name")?.to_string_lossy().into_owned();
        let (in_tar, in_deb) = (format!("man/{name}"), format!("usr/share/man/man1/{name}"));
        let page = Shipped::text(Some(&in_tar), Some(&in_deb), fs::read(&page)?);
        files.push(Shipped { is_packed: true, ..page });
    }
    for (shell, in_tar, in_deb) in COMPLETIONS {
        let mut script = Command::new(binary);
        script.args(["completions", shell]);
        files.push(Shipped::text(Some(in_tar), Some(in_deb), run::output(script)?));
    }
    files.push(Shipped::text(Some("README.md"), Some(&format!("{DOC}/README.md")), read("README.md")?));
    let changes =
        Shipped::text(Some("CHANGELOG.md"), Some(&format!("{DOC}/changelog")), read("CHANGELOG.md")?);
    files.push(Shipped { is_packed: true, ..changes });
    let of_debian = Shipped::text(None, Some(&format!("{DOC}/changelog.Debian")), deb::changelog(release)?);
    files.push(Shipped { is_packed: true, ..of_debian });
    let (mit, apache) = (read("LICENSE-MIT")?, read("LICENSE-APACHE")?);
    let others = third_party::licences(release, source)?;
    files.push(Shipped::text(None, Some(&format!("{DOC}/copyright")), deb::copyright(&mit, &others)));
    files.push(Shipped::text(Some("LICENSE-MIT"), None, mit));
    files.push(Shipped::text(Some("LICENSE-APACHE"), None, apache));
    files.push(Shipped::text(Some("LICENSES-OF-OTHERS"), None, others));
    Ok(files)
}

fn man_pages(release: &Release, binary: &Path, stage: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = stage.join("man");
    fs::create_dir_all(&folder)?;
    let mut man = Command::new(binary);
    man.arg("man").arg(&folder).env("SOURCE_DATE_EPOCH", &release.epoch);
    let written = String::from_utf8(run::output(man)?)?;
    Ok(written.lines().map(PathBuf::from).collect())
}

/// Writes a file and the folders round it.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).with_context(cannot)?;
    fs::write(path, bytes).with_context(cannot)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(cannot)
}

/// Packs a file with gzip, without a name and a time in it.
pub(super) fn pack(path: &Path) -> anyhow::Result<()> {
    let mut gzip = command("gzip", &["-9n", "--"]);
    gzip.arg(path);
    run::run(gzip)
}

/// Gives folders the mode that they shall have, whatever the umask is.
pub(super) fn open_directories(root: &Path) -> anyhow::Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_directories(&entry.path())?;
        }
    }
    Ok(())
}
