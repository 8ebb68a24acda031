//! Files of compiled modules. A file tells what it was made from, so that it is never used for anything else, and has
//! a checksum, so that a damaged one is never loaded.

use super::compile::{Architecture, Compiled, OPTIONS, Version};
use super::kernels::{HEADERS, Module};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a file begins: its format and version.
const MAGIC: [u8; 8] = *b"rmr1cub1";
const HASH: usize = 32;
/// Bytes before the checksummed part.
const HEADER: usize = MAGIC.len() + 2 * HASH;

/// A compiled module and the compiler's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CubinFile {
    /// Of NVRTC.
    pub compiler: Version,
    /// The code.
    pub compiled: Compiled,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is none.
    Absent,
    /// It was made from other sources or for another architecture.
    Stale,
    /// Its bytes are not those that were written.
    Damaged,
    /// The system's words.
    Unreadable(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Fault::Absent => write!(f, "is not there"),
            Fault::Stale => write!(f, "was made from other sources"),
            Fault::Damaged => write!(f, "is damaged"),
            Fault::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
        }
    }
}

/// SHA-256 of all that the code depends on, each part with its length before it.
pub fn key(module: &Module, architecture: Architecture, compiler: Version) -> [u8; HASH] {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(module.text());
    HEADERS.iter().for_each(|(name, text)| {
        add(name);
        add(text);
    });
    module.macros().iter().for_each(|(name, value)| {
        add(name);
        add(value);
    });
    OPTIONS.iter().for_each(|option| add(option));
    add(&architecture.to_string());
    add(&compiler.to_string());
    hash.finalize().into()
}

impl CubinFile {
    /// Reads a file, which must be of this module for this architecture.
    pub fn read(path: &Path, module: &Module, architecture: Architecture) -> Result<Self, Fault> {
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::Absent,
            _ => Fault::Unreadable(error.to_string()),
        })?;
        let (header, body) = bytes.split_at_checked(HEADER).ok_or(Fault::Damaged)?;
        let (magic, hashes) = header.split_at(MAGIC.len());
        let (found, checksum) = hashes.split_at(HASH);
        if magic != MAGIC || checksum != Sha256::digest(body).as_slice() {
            return Err(Fault::Damaged);
        }
        let (major, rest) = number(body)?;
        let (minor, rest) = number(rest)?;
        let (length, rest) = number(rest)?;
        let (log, cubin) = rest.split_at_checked(length as usize).ok_or(Fault::Damaged)?;
        let compiler = Version { major, minor };
        if found != key(module, architecture, compiler) {
            return Err(Fault::Stale);
        }
        let log = String::from_utf8(log.to_vec()).map_err(|_| Fault::Damaged)?;
        Ok(Self { compiler, compiled: Compiled { log, cubin: cubin.to_vec() } })
    }

    /// Writes it beside its place and then moves it there, so that no reader ever sees a part.
    pub fn write(&self, path: &Path, module: &Module, architecture: Architecture) -> io::Result<()> {
        let Compiled { log, cubin } = &self.compiled;
        let mut body = Vec::with_capacity(12 + log.len() + cubin.len());
        for n in [self.compiler.major, self.compiler.minor, log.len() as u32] {
            body.extend(n.to_le_bytes());
        }
        body.extend(log.as_bytes());
        body.extend(cubin);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let count = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let beside = folder.join(format!(".{name}.{}.{count}", std::process::id()));
        let written = (|| {
            let mut file = fs::File::create(&beside)?;
            file.write_all(&MAGIC)?;
            file.write_all(&key(module, architecture, self.compiler))?;
            file.write_all(Sha256::digest(&body).as_slice())?;
            file.write_all(&body)?;
            fs::rename(&beside, path)
        })();
        if written.is_err() {
            fs::remove_file(&beside).ok();
        }
        written
    }
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), Fault> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Fault::Damaged)?;
    Ok((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{Activation, modules};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const COMPILER: Version = Version { major: 13, minor: 0 };

    fn file() -> CubinFile {
        let compiled = Compiled { log: "32 registers".into(), cubin: (0..=255).collect() };
        CubinFile { compiler: COMPILER, compiled }
    }

    #[test]
    fn every_module_architecture_and_compiler_has_a_key_of_its_own() {
        let mut keys = HashSet::new();
        let modules = modules();
        for module in &modules {
            for architecture in Architecture::BUILT {
                for minor in 0..2 {
                    assert!(keys.insert(key(module, architecture, Version { major: 13, minor })));
                }
            }
        }
        assert_eq!(keys.len(), modules.len() * 8);
    }

    #[test]
    fn a_file_of_another_module_or_architecture_is_stale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.cubin");
        let (f32, bf16) = (Module::new("rowwise", Activation::F32), Module::new("rowwise", Activation::Bf16));
        let [sm80, sm89, ..] = Architecture::BUILT;
        assert_eq!(CubinFile::read(&path, &f32, sm80), Err(Fault::Absent));
        file().write(&path, &f32, sm80).unwrap();
        assert_eq!(CubinFile::read(&path, &f32, sm80), Ok(file()));
        assert_eq!(CubinFile::read(&path, &bf16, sm80), Err(Fault::Stale));
        assert_eq!(CubinFile::read(&path, &f32, sm89), Err(Fault::Stale));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    }

    proptest! {
        #[test]
        fn no_flipped_bit_and_no_cut_goes_unseen(place in any::<prop::sample::Index>(), bit in 0..8u8, cut in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.cubin");
            let module = Module::new("rowwise", Activation::F32);
            file().write(&path, &module, Architecture::BUILT[0]).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let at = place.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            fs::write(&path, bytes).unwrap();
            let fault = CubinFile::read(&path, &module, Architecture::BUILT[0]).unwrap_err();
            prop_assert!(matches!(fault, Fault::Damaged | Fault::Stale), "{fault:?}");
        }
    }
}
