//! Notices changes of a project's sources.
//!
//! Files are polled, as the host polls components (`src/rollout/watch.rs`). A change counts once
//! the files have stayed the same for two polls, and only if their contents differ from what was
//! built: to save a file unchanged, or to touch it, builds nothing.
//!
//! Not every file of the folder is a source: the output of `saga dev` itself may go to one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::language::Language;
use super::project::Project;
use crate::base::notify::Notify;
use crate::base::stop::NotifiedAtStop;

/// Interval of the polls.
const INTERVAL: Duration = Duration::from_millis(150);

/// Most files that are watched.
const FILES: usize = 10_000;

/// The files with their times and sizes.
type Stamps = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// The hash of each file.
type Contents = BTreeMap<PathBuf, [u8; 32]>;

/// Folders of a project in which every file is a source: tests read further ones.
const FOLDERS: [&str; 2] = ["src", "tests"];

/// The sources of a project: its sources, manifests and tests, those of the packages that it or
/// its tests depend on by path, and all files from which the component was built, wherever they are.
pub struct Sources {
    language: Language,
    folder: PathBuf,
    target: PathBuf,
    /// Names the files from which the component was built.
    dependencies: PathBuf,
    /// The folders of packages that it depends on by path, outside its own folder.
    local: BTreeSet<PathBuf>,
    /// Single files that are watched too.
    further: Vec<PathBuf>,
    stamps: Stamps,
    built: Contents,
}

impl Sources {
    /// The present sources, as those that are being built. `further` are files that are watched too,
    /// by their paths from the project's folder.
    ///
    /// # Errors
    /// They can't be read, or are too many.
    pub fn new(project: &Project, further: &[PathBuf]) -> Result<Self, String> {
        let language = project.language;
        let workspace = [language.manifest(), language.lock()];
        let workspace = workspace.map(|name| project.workspace.join(name));
        let further = further.iter().map(|path| project.folder.join(path));
        let mut sources = Self {
            language,
            folder: project.folder.clone(),
            target: project.target.clone(),
            dependencies: project.component.with_extension("d"),
            local: outside(project),
            further: further.chain(workspace).collect(),
            stamps: Stamps::new(),
            built: Contents::new(),
        };
        sources.stamps = sources.look()?;
        sources.built = contents(&sources.stamps);
        Ok(sources)
    }

    /// Follows a project whose manifest has changed. What it depends on by path now is being built.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub fn follow(&mut self, project: &Project) -> Result<(), String> {
        let local = outside(project);
        if local == self.local {
            return Ok(());
        }
        self.local = local;
        let stamps = self.look()?;
        let news = stamps.into_iter();
        let news = news
            .filter(|(path, _)| !self.stamps.contains_key(path))
            .collect();
        self.built.extend(contents(&news));
        self.stamps.extend(news);
        Ok(())
    }

    /// Takes note of what the toolchain wrote by itself, and of further files that it read.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub fn note_built(&mut self) -> Result<(), String> {
        let stamps = self.look()?;
        let was_there = |path: &Path| self.stamps.contains_key(path);
        let is_news = |path: &Path| {
            let is_looked_for = self.further.iter().any(|one| one == path)
                || self
                    .root(path)
                    .is_some_and(|root| self.is_source(root, path));
            path.ends_with(self.language.lock()) || !was_there(path) && !is_looked_for
        };
        let news: Stamps = stamps
            .iter()
            .filter(|(path, _)| is_news(path))
            .map(|(path, stamp)| (path.clone(), *stamp))
            .collect();
        self.built.extend(contents(&news));
        self.stamps.extend(news);
        Ok(())
    }

    /// Waits until the sources differ from those that were built, and have settled; then they are
    /// the ones that are being built. Returns the changed files; none at `stop`.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub fn changed(&mut self, stop: &CancellationToken) -> Result<Vec<PathBuf>, String> {
        let notify = Notify::default();
        let _notified = NotifiedAtStop::new(stop, &notify);
        // At first false: changes since the build began count too.
        let mut is_compared = false;
        loop {
            let seen = notify.count();
            if stop.is_cancelled() {
                return Ok(Vec::new());
            }
            let stamps = self.look()?;
            if stamps != self.stamps {
                self.stamps = stamps;
                is_compared = false;
            } else if !is_compared {
                is_compared = true;
                let now = contents(&self.stamps);
                let changed = differences(&self.built, &now);
                if !changed.is_empty() {
                    self.built = now;
                    return Ok(changed);
                }
            }
            notify.wait(seen, INTERVAL);
        }
    }

    /// The path as it is shown: from the project's folder, if it is there.
    #[must_use]
    pub fn shown<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(&self.folder).unwrap_or(path).display()
    }

    fn look(&self) -> Result<Stamps, String> {
        let mut stamps = Stamps::new();
        let mut folders: Vec<_> = [&self.folder]
            .into_iter()
            .chain(&self.local)
            .cloned()
            .collect();
        while let Some(folder) = folders.pop() {
            // A folder that goes away between two looks is a change.
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if is_passed_over(&path) || path == self.target {
                    continue;
                }
                let Some(root) = self.root(&path) else {
                    continue;
                };
                // Another package in the folder of one is not part of it.
                let manifest = self.language.manifest();
                let is_other = |path: &Path| root != self.folder && path.join(manifest).exists();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && is_other(&path) => {}
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    _ if self.is_source(root, &path) => note(&mut stamps, path)?,
                    _ => {}
                }
            }
        }
        for path in self.further.iter().cloned().chain(self.compiled()) {
            note(&mut stamps, path)?;
        }
        Ok(stamps)
    }

    /// The folder of the package that a file belongs to.
    fn root(&self, path: &Path) -> Option<&Path> {
        let roots = [&self.folder].into_iter().chain(&self.local);
        let above = roots.filter(|root| path.starts_with(root));
        above
            .max_by_key(|root| root.components().count())
            .map(PathBuf::as_path)
    }

    /// True for a source of the package in the folder `root`.
    fn is_source(&self, root: &Path, path: &Path) -> bool {
        let end = path.extension().unwrap_or_default();
        let own = path.strip_prefix(root).unwrap_or(path);
        let mut ends = self.language.ends().iter();
        ends.any(|one| end == *one) || FOLDERS.iter().any(|one| own.starts_with(one))
    }

    /// Files from which the component was built, as the compiler noted them.
    fn compiled(&self) -> Vec<PathBuf> {
        let noted = std::fs::read_to_string(&self.dependencies).unwrap_or_default();
        let paths = noted.lines().filter_map(|line| line.split_once(": "));
        // A space in a path is written with a backslash.
        let paths = paths.flat_map(|(_, paths)| {
            let paths = paths.replace("\\ ", "\0");
            let paths: Vec<_> = paths
                .split(' ')
                .map(|path| PathBuf::from(path.replace('\0', " ")))
                .collect();
            paths
        });
        paths
            .filter(|path| !path.starts_with(&self.target))
            .collect()
    }
}

/// The folders of packages that are not in the project's own.
fn outside(project: &Project) -> BTreeSet<PathBuf> {
    let local = project.local.iter();
    local
        .filter(|path| !path.starts_with(&project.folder))
        .cloned()
        .collect()
}

/// True for hidden files, backups of editors, what cargo builds, what npm installs, and what Python and pip
/// write beside sources.
fn is_passed_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
        || name.ends_with('~')
        || name == "node_modules"
        || name == "__pycache__"
        || name.ends_with(".egg-info")
        || (name == "target" && path.join("CACHEDIR.TAG").exists())
}

fn note(stamps: &mut Stamps, path: PathBuf) -> Result<(), String> {
    if let Ok(metadata) = std::fs::metadata(&path)
        && metadata.is_file()
    {
        stamps.insert(path, (metadata.modified().ok(), metadata.len()));
    }
    if stamps.len() > FILES {
        return Err(format!(
            "the project has more than {FILES} files; move what is not its source out of it"
        ));
    }
    Ok(())
}

/// A file that can't be read is taken for an empty one: the toolchain will say what is wrong with it.
fn contents(stamps: &Stamps) -> Contents {
    let hash = |path: &PathBuf| Sha256::digest(std::fs::read(path).unwrap_or_default()).into();
    stamps
        .keys()
        .map(|path| (path.clone(), hash(path)))
        .collect()
}

fn differences(one: &Contents, other: &Contents) -> Vec<PathBuf> {
    let changed = other
        .iter()
        .filter(|(path, hash)| one.get(*path) != Some(*hash));
    let gone = one.keys().filter(|path| !other.contains_key(*path));
    changed.map(|(path, _)| path).chain(gone).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn project(folder: &Path) -> Project {
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), "one").unwrap();
        Project {
            language: Language::Rust,
            folder: folder.to_owned(),
            package: "p".into(),
            component: folder.join("target/p.wasm"),
            target: folder.join("target"),
            workspace: folder.to_owned(),
            local: BTreeSet::new(),
        }
    }

    /// The change within a few polls, if there is one.
    fn soon(sources: &mut Sources) -> Option<PathBuf> {
        let stop = CancellationToken::new();
        let ends = stop.clone();
        let timer = std::thread::spawn(move || {
            std::thread::sleep(INTERVAL * 5);
            ends.cancel();
        });
        let changed = sources.changed(&stop).unwrap();
        timer.join().unwrap();
        changed.into_iter().next()
    }

    #[test]
    fn only_contents_that_differ_from_what_was_built_are_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let project = project(folder.path());
        let mut sources = Sources::new(&project, &[]).unwrap();
        let source = folder.path().join("src/lib.rs");
        for made in ["target", "src/__pycache__", "src/x.egg-info"] {
            fs::create_dir(folder.path().join(made)).unwrap();
        }
        for name in [
            "target/x",
            ".hidden.rs",
            "src/lib.rs~",
            "dev.log",
            "src/__pycache__/x",
            "src/x.egg-info/x",
        ] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        fs::write(&source, "one").unwrap();
        assert_eq!(soon(&mut sources), None);

        // Also one that was made while a build ran.
        fs::write(&source, "two").unwrap();
        sources.note_built().unwrap();
        assert_eq!(soon(&mut sources), Some(source.clone()));
        assert_eq!(soon(&mut sources), None);
        let further = folder.path().join("tests.rs");
        fs::write(&further, "").unwrap();
        assert_eq!(soon(&mut sources), Some(further.clone()));
        fs::remove_file(&further).unwrap();
        assert_eq!(soon(&mut sources), Some(further));
    }

    #[test]
    fn what_cargo_wrote_by_itself_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::new(&project(folder.path()), &[]).unwrap();
        fs::write(folder.path().join("Cargo.lock"), "locked").unwrap();
        sources.note_built().unwrap();
        assert_eq!(soon(&mut sources), None);
        fs::write(folder.path().join("Cargo.lock"), "updated").unwrap();
        assert_eq!(soon(&mut sources), Some(folder.path().join("Cargo.lock")));
    }

    #[test]
    fn all_files_that_were_compiled_are_watched() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let project = project(folder.path());
        let further = elsewhere.path().join("a b.rs");
        fs::write(&further, "one").unwrap();
        let mut sources = Sources::new(&project, &[]).unwrap();
        fs::create_dir(&project.target).unwrap();
        let data = folder.path().join("seats.json");
        fs::write(&data, "one").unwrap();
        let escaped = further.display().to_string().replace(' ', "\\ ");
        let noted = format!(
            "{}: {} {escaped}\n",
            project.component.display(),
            data.display()
        );
        fs::write(project.component.with_extension("d"), noted).unwrap();
        sources.note_built().unwrap();
        assert_eq!(soon(&mut sources), None);
        for path in [further, data] {
            fs::write(&path, "two").unwrap();
            assert_eq!(soon(&mut sources), Some(path));
        }
    }

    #[test]
    fn packages_by_path_and_further_files_are_watched() {
        let around = tempfile::tempdir().unwrap();
        let mut project = project(&around.path().join("loan"));
        let [invoice, money, component] =
            ["invoice", "money", "other/target/x.wasm"].map(|name| around.path().join(name));
        let write = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let [tested, nested, added] = [
            invoice.join("src/lib.rs"),
            invoice.join("fuzz/src/lib.rs"),
            money.join("src/lib.rs"),
        ];
        for path in [
            &tested,
            &nested,
            &added,
            &component,
            &invoice.join("fuzz/Cargo.toml"),
        ] {
            write(path, "one");
        }
        project.local = [invoice].into();
        let further = "../other/target/x.wasm".into();
        let mut sources = Sources::new(&project, &[further]).unwrap();
        // A package that only lies in the folder of another one is none of it.
        write(&nested, "two");
        write(&added, "two");
        assert_eq!(soon(&mut sources), None);
        write(&tested, "two");
        sources.note_built().unwrap();
        assert_eq!(soon(&mut sources), Some(tested));
        write(&component, "two");
        let changed = soon(&mut sources).unwrap();
        assert_eq!(
            sources.shown(&changed).to_string(),
            "../other/target/x.wasm"
        );

        project.local.insert(money);
        sources.follow(&project).unwrap();
        assert_eq!(soon(&mut sources), None);
        write(&added, "three");
        assert_eq!(soon(&mut sources), Some(added));
    }
}
