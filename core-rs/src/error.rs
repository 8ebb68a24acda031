//! The one error type of the core. A message is in sentence case, has no final period, and quotes the offending value.

use std::path::PathBuf;

/// What went wrong, in the classes that a caller would treat differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An argument that the caller can correct: a shape, a range, an unknown name.
    #[error("{0}")]
    Input(String),
    /// A file that does not hold what its format promises.
    #[error("\"{}\": {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// The operating system refused to read or write.
    #[error("Cannot {action} \"{}\": {reason}", path.display())]
    Io {
        /// "read", "write", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        reason: String,
    },
    /// A handle that was never given out or has been closed.
    #[error("Unknown or closed handle {0}")]
    Handle(usize),
    /// A computation came to what is no finite number: weights are damaged, or training has diverged.
    #[error("{0}")]
    NotFinite(String),
    /// The caller asked to stop.
    #[error("Cancelled")]
    Cancelled,
    /// A device has too little memory.
    #[error("The device has no memory for {needed} more bytes: {free} of {total} are free")]
    Memory {
        /// Bytes that were asked for.
        needed: usize,
        /// Bytes that are free.
        free: usize,
        /// Bytes that there are.
        total: usize,
    },
    /// A device or its driver failed.
    #[error("{0}")]
    Device(String),
    /// A fault of this library: a panic caught at the door.
    #[error("Internal error: {0}")]
    Internal(String),
}

impl Error {
    /// A stable name of the class, for callers across the C ABI.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Input(_) => "input",
            Error::Format { .. } => "format",
            Error::Io { .. } => "io",
            Error::Handle(_) => "handle",
            Error::NotFinite(_) => "not-finite",
            Error::Cancelled => "cancelled",
            Error::Memory { .. } => "memory",
            Error::Device(_) => "device",
            Error::Internal(_) => "internal",
        }
    }

    /// Shorthand for [`Error::Format`].
    pub fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Error::Format { path: path.into(), reason: reason.into() }
    }

    /// Shorthand for [`Error::Io`].
    pub fn io(action: &'static str, path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Error::Io { action, path: path.into(), reason: error.to_string() }
    }
}

/// A result of the core.
pub type Result<T> = std::result::Result<T, Error>;
