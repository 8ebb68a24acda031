//! Weights and their text assets: read from a Hugging Face directory or a GGUF file, written as a Hugging Face
//! directory. In memory every tensor is f32 under its Hugging Face name.

pub(crate) mod dequantize;
mod gguf;
mod hugging_face;
mod layout;
pub(crate) mod peft;
pub(crate) mod quantised;
mod safetensors;
mod stored;
mod templates;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Deref;
use std::path::Path;

use crate::config::ModelConfig;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, files};

#[cfg(test)]
pub(crate) use dequantize::Encoding;
pub use hugging_face::save;
pub(crate) use layout::{EMBEDDING, LM_HEAD, SCORE};
pub use safetensors::{load_tensors, save_tensors};
use stored::RowOrder;
pub use stored::StoredTensor;

/// A dense f32 array.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// A tensor to be written. Its values may lie on a device and are copied from it when they are read, one tensor at a
/// time.
pub struct TensorRef<'a> {
    /// Hugging Face name.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Gives the row-major values.
    data: Box<dyn Fn() -> Result<Cow<'a, [f32]>> + 'a>,
}

impl<'a> TensorRef<'a> {
    /// Values in the host's memory.
    pub fn new(name: String, shape: Vec<usize>, data: &'a [f32]) -> Self {
        Self::with(name, shape, move || Ok(Cow::Borrowed(data)))
    }

    /// Values that `read` gives.
    pub fn with(name: String, shape: Vec<usize>, read: impl Fn() -> Result<Cow<'a, [f32]>> + 'a) -> Self {
        Self { name, shape, data: Box::new(read) }
    }

    /// The values.
    ///
    /// # Errors
    /// [`Error::Input`] when there are not as many as the shape holds.
    fn read(&self) -> Result<Cow<'a, [f32]>> {
        let values = (self.data)()?;
        if self.shape.iter().product::<usize>() != values.len() {
            return Err(Error::Input(format!(
                "Tensor \"{}\" has {} values, expected as many as shape {:?} holds",
                self.name,
                values.len(),
                self.shape
            )));
        }
        Ok(values)
    }
}

/// What a model needs beside its weights to read and write text. All of it is optional: a model works on ids alone.
#[derive(Debug, Clone, Default)]
pub struct TextAssets {
    /// The tokenizer.
    pub tokenizer: Option<Tokenizer>,
    /// The Jinja source of the chat template.
    pub chat_template: Option<String>,
    /// Further templates by name, such as "tool_use".
    pub named_templates: BTreeMap<String, String>,
    /// Beginning-of-sequence token as text; chat templates refer to it.
    pub bos_token: Option<String>,
    /// End-of-sequence token as text.
    pub eos_token: Option<String>,
    /// Padding token as text.
    pub pad_token: Option<String>,
}

/// A model in memory.
#[derive(Debug, Clone)]
pub struct Checkpoint<T = Tensor> {
    /// Its shape.
    pub config: ModelConfig,
    /// Its weights by Hugging Face name, `[out, in]` for a linear layer. `lm_head.weight` is there only when the
    /// embeddings are untied; a sequence classifier has `score.weight` `[1, hidden]` and may lack the LM head.
    pub tensors: BTreeMap<String, T>,
    /// Its tokenizer and chat template.
    pub text: TextAssets,
}

/// How saved weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits: what is in memory, bit for bit.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an f32, rounded to nearest even.
    BF16,
}

impl Dtype {
    /// The name in a `config.json`.
    pub(crate) fn torch_name(self) -> &'static str {
        match self {
            Dtype::F32 => "float32",
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
        }
    }
}

/// Reads a model: a directory in Hugging Face layout, a directory that holds exactly one `.gguf` file, or that file.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read. [`Error::Format`] naming the file and the tensor or key, when a file is
/// damaged or is not a supported model: tensors missing, unexpected, of another shape, twice there or not finite;
/// a tokenizer with more ids than the embedding has rows.
pub fn load(path: &Path) -> Result<Checkpoint> {
    load_with(path, &|_, tensor| tensor.decode())
}

/// How a tensor of a model becomes something else.
pub(crate) type Read<'a, T> = dyn Fn(&ModelConfig, &StoredTensor) -> Result<T> + Sync + 'a;

/// As [`load()`], with each tensor read from its file by `read`: in parallel, or where files are in memory, one after the
/// other, so that they are freed as they are read.
///
/// # Errors
/// As [`load()`], and those of `read`.
pub(crate) fn load_with<T: Send>(path: &Path, read: &Read<T>) -> Result<Checkpoint<T>> {
    if !files::is_folder(path).map_err(|error| Error::io("read", path, &error))? {
        return gguf::load(path, read);
    }
    if files::exists(&path.join("config.json")) {
        return hugging_face::load(path, read);
    }
    if peft::holds_adapters(path) {
        return Err(Error::format(
            peft::config_path(path),
            "Adapters are no model by themselves, expected a folder with one: open the model that they were made for \
             and load them onto it",
        ));
    }
    let mut found = files::list(path).map_err(|error| Error::io("read", path, &error))?;
    found.retain(|file| file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")));
    match found.as_slice() {
        [file] => gguf::load(file, read),
        files => Err(Error::format(
            path,
            format!(
                "Holds no config.json and {} GGUF files, expected a config.json or one GGUF file",
                files.len()
            ),
        )),
    }
}

/// The tokenizer may know fewer ids than the embedding has rows (padded embeddings), never more.
fn check_tokenizer(path: &Path, config: &ModelConfig, text: &TextAssets) -> Result<()> {
    match &text.tokenizer {
        Some(tokenizer) if tokenizer.vocab_size() > config.vocab_size => Err(Error::format(
            path,
            format!(
                "The tokenizer has {} ids, expected at most the model's vocab_size {}",
                tokenizer.vocab_size(),
                config.vocab_size
            ),
        )),
        _ => Ok(()),
    }
}

/// Maps a file into memory, to be read as bytes.
fn map_file(path: &Path) -> Result<files::Bytes> {
    filled(path, files::map(path))
}

/// As [`map_file`], for whoever is the last to read it: a file in memory is gone then.
fn take_file(path: &Path) -> Result<files::Taken> {
    filled(path, files::take(path))
}

fn filled<B: Deref<Target = [u8]>>(path: &Path, bytes: std::io::Result<B>) -> Result<B> {
    let bytes = bytes.map_err(|error| Error::io("read", path, &error))?;
    if bytes.is_empty() { Err(Error::format(path, "The file is empty")) } else { Ok(bytes) }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`Error::Io`], or the [`Error`] that the content's is made of; whatever was at `path` is then unchanged.
fn write_file(path: &Path, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::Input(format!("\"{}\" names no file", path.display())));
    }
    files::replace(path, content)
        .map_err(|error| error.downcast::<Error>().unwrap_or_else(|error| Error::io("write", path, &error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_file(&path, |file| file.write_all(b"old")).unwrap();
        let result = write_file(&path, |file| {
            file.write_all(b"new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(result.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        write_file(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
