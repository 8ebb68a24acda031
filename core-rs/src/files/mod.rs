//! Files by their paths: the system's, or in WebAssembly, where there are none, files in the core's own memory.

#[cfg(not(target_family = "wasm"))]
mod disk;
#[cfg(any(test, target_family = "wasm"))]
pub mod memory;

#[cfg(not(target_family = "wasm"))]
pub use disk::{Bytes, Taken, create_folder, exists, is_folder, list, map, read, replace, take};
#[cfg(target_family = "wasm")]
pub use memory::{Bytes, Taken, create_folder, exists, is_folder, list, map, read, replace, take};
