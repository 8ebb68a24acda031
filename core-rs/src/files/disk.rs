//! The system's files.

use std::fs::{self, File};
use std::io::{BufWriter, Result, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file's bytes.
pub type Bytes = memmap2::Mmap;

/// A file's bytes without reading them all. Empty files cannot be mapped everywhere.
pub fn map(path: &Path) -> Result<Bytes> {
    // SAFETY: the map is private to the caller and only read. Another process that shortens the file meanwhile would
    // end this one with SIGBUS; model files are replaced by renaming, which leaves the mapped file whole.
    unsafe { memmap2::Mmap::map(&File::open(path)?) }
}

/// As [`Bytes`]. Those of a disk take no memory that reading them could free.
pub struct Taken(Bytes);

impl Taken {
    /// Whether [`Taken::free_from`] frees memory.
    pub const FREES: bool = false;

    /// Does nothing.
    pub fn free_from(&mut self, _: usize) {}
}

impl Deref for Taken {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// As [`map`].
pub fn take(path: &Path) -> Result<Taken> {
    map(path).map(Taken)
}

/// A whole file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path)
}

/// Whether there is a file or folder of this name that can be seen.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether a path that must exist is a folder's.
pub fn is_folder(path: &Path) -> Result<bool> {
    Ok(fs::metadata(path)?.is_dir())
}

/// What a folder holds.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Makes a folder and those that it lies in, unless they exist.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)
}

/// Writes a file by way of a sibling: written, synced, then renamed over `path`, and the folder synced. On an error
/// whatever was at `path` is unchanged.
pub fn replace(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(path.file_name().unwrap_or_default());
    temporary.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(temporary);
    let attempt = || {
        let mut writer = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        content(&mut writer)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    };
    attempt().inspect_err(|_| {
        // The first error is the one to report; a sibling left behind is never read.
        let _ = fs::remove_file(&temporary);
    })
}
