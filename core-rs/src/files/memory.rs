//! Files in memory. A caller reserves one by its length, fills it in place as its bytes arrive, and publishes it.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// A file's bytes. They stay as long as somebody holds them, even if the file is removed.
#[derive(Clone)]
pub struct Bytes(Arc<Vec<u8>>);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A file's bytes, which nobody else has.
pub struct Taken(Vec<u8>);

impl Taken {
    /// Whether [`Taken::free_from`] frees memory.
    pub const FREES: bool = true;

    /// Frees what lies behind the first bytes, for whoever needs memory next.
    pub fn free_from(&mut self, length: usize) {
        self.0.truncate(length);
        // In place: an allocation that becomes smaller is cut.
        self.0.shrink_to_fit();
    }
}

impl Deref for Taken {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[derive(Default)]
struct Table {
    published: BTreeMap<PathBuf, Bytes>,
    reserved: BTreeMap<PathBuf, Vec<u8>>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { published: BTreeMap::new(), reserved: BTreeMap::new() });

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "No such file in the core's memory")
}

/// Makes room for a file of this length, to be filled through the pointer until [`publish`] or [`remove`]. One that
/// was reserved by this name before is given up.
///
/// # Errors
/// There is no memory for it.
pub fn reserve(path: &Path, length: usize) -> Result<*mut u8> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| {
        Error::new(ErrorKind::OutOfMemory, format!("No memory for a file of \"{length}\" bytes"))
    })?;
    bytes.resize(length, 0);
    let start = bytes.as_mut_ptr();
    table().reserved.insert(path.to_owned(), bytes);
    Ok(start)
}

/// Lets a file that was reserved and filled be read.
///
/// # Errors
/// None was reserved.
pub fn publish(path: &Path) -> Result<()> {
    let mut table = table();
    let bytes = table.reserved.remove(path).ok_or_else(missing)?;
    table.published.insert(path.to_owned(), Bytes(Arc::new(bytes)));
    Ok(())
}

/// Removes a file or all that a folder holds, whether published or not.
pub fn remove(path: &Path) {
    let mut table = table();
    table.published.retain(|file, _| !file.starts_with(path));
    table.reserved.retain(|file, _| !file.starts_with(path));
}

/// A file's bytes.
pub fn map(path: &Path) -> Result<Bytes> {
    table().published.get(path).cloned().ok_or_else(missing)
}

/// A file's bytes, and the file is gone. Where others still hold them this is a copy.
pub fn take(path: &Path) -> Result<Taken> {
    let Bytes(bytes) = table().published.remove(path).ok_or_else(missing)?;
    Ok(Taken(Arc::unwrap_or_clone(bytes)))
}

/// A copy of a file's bytes.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(map(path)?.to_vec())
}

/// Whether there is a file or folder of this name.
pub fn exists(path: &Path) -> bool {
    table().published.keys().any(|file| file.starts_with(path))
}

/// Whether a path that must exist is a folder's.
pub fn is_folder(path: &Path) -> Result<bool> {
    if !exists(path) {
        return Err(missing());
    }
    Ok(!table().published.contains_key(path))
}

/// What a folder holds: files, and folders with files in them.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let depth = folder.components().count() + 1;
    let mut found: Vec<PathBuf> = table()
        .published
        .keys()
        .filter(|file| file.starts_with(folder) && file.components().count() >= depth)
        .map(|file| file.components().take(depth).collect())
        .collect();
    found.dedup();
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

/// The paths in a folder of all files that are below it.
pub fn below(folder: &Path) -> Vec<String> {
    let table = table();
    let paths = table.published.keys().filter_map(|file| file.strip_prefix(folder).ok());
    paths.map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Folders are there as soon as a file is in them.
pub fn create_folder(_: &Path) -> Result<()> {
    Ok(())
}

/// Writes a file whole or not at all.
pub fn replace(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    content(&mut bytes)?;
    table().published.insert(path.to_owned(), Bytes(Arc::new(bytes)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_filled_in_place_and_read_once_it_is_published() {
        let path = Path::new("filled/model.gguf");
        let start = reserve(path, 3).unwrap();
        assert!(!exists(path) && map(path).is_err());
        // SAFETY: three bytes were reserved there, and nothing else uses them.
        unsafe { std::slice::from_raw_parts_mut(start, 3) }.copy_from_slice(b"abc");
        publish(path).unwrap();
        let bytes = map(path).unwrap();
        assert_eq!((&*bytes, bytes.as_ptr()), (&b"abc"[..], start.cast_const()));
        remove(Path::new("filled"));
        assert!(!exists(path) && publish(path).is_err());
        assert_eq!(&*bytes, b"abc");
        assert!(reserve(path, usize::MAX / 2).is_err());
    }

    #[test]
    fn a_file_that_is_taken_is_gone_and_gives_up_what_lies_behind() {
        let path = Path::new("taken");
        replace(path, |file| file.write_all(b"abcdef")).unwrap();
        let held = map(path).unwrap();
        let mut taken = take(path).unwrap();
        assert!(!exists(path) && take(path).is_err());
        taken.free_from(2);
        assert_eq!((&*taken, &*held), (&b"ab"[..], &b"abcdef"[..]));
        taken.free_from(5);
        assert_eq!(&*taken, b"ab");
    }

    #[test]
    fn folders_are_those_that_files_lie_in() {
        let write = |path: &str| replace(Path::new(path), |file| file.write_all(b"x")).unwrap();
        for path in ["folders/a/1.json", "folders/a/2.json", "folders/b", "folders-2/c"] {
            write(path);
        }
        let folder = Path::new("folders");
        assert_eq!(list(folder).unwrap(), [folder.join("a"), folder.join("b")]);
        assert!(is_folder(&folder.join("a")).unwrap() && !is_folder(&folder.join("b")).unwrap());
        assert_eq!(below(folder), ["a/1.json", "a/2.json", "b"]);
        assert!(list(Path::new("elsewhere")).is_err() && is_folder(Path::new("elsewhere")).is_err());
        let failed = replace(&folder.join("b"), |file| {
            file.write_all(b"new")?;
            Err(Error::other("no more"))
        });
        assert!(failed.is_err());
        assert_eq!(read(&folder.join("b")).unwrap(), b"x");
    }
}
