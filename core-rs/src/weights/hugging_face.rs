//! Model directories in Hugging Face layout, read and written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::layout::{self, EMBEDDING, LM_HEAD, SCORE};
use super::stored::Place;
use super::templates::{self, Templates};
use super::{
    Checkpoint, Dtype, Read, StoredTensor, TensorRef, TextAssets, check_tokenizer, peft, safetensors,
    take_file, write_file,
};
use crate::config::ModelConfig;
use crate::files::{self, Taken};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

pub(super) const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Reads a directory. See [`super::load`].
pub(super) fn load<T: Send>(dir: &Path, decode: &Read<T>) -> Result<Checkpoint<T>> {
    let config_path = dir.join(CONFIG);
    let mut config = ModelConfig::from_hf_json(&config_path, &read(&config_path)?)?;
    if let Some(bytes) = read_if_there(&dir.join(GENERATION_CONFIG))? {
        config.merge_generation_config(&dir.join(GENERATION_CONFIG), &bytes)?;
    }
    let text = load_text(dir, &config)?;
    check_tokenizer(&dir.join(TOKENIZER), &config, &text)?;

    let index = load_index(dir)?;
    let files: BTreeSet<&String> = index.iter().flat_map(|index| index.values()).collect();
    let files: Vec<PathBuf> = match index {
        Some(_) => files.into_iter().map(|file| dir.join(file)).collect(),
        None => vec![dir.join(WEIGHTS)],
    };
    let maps: Vec<Taken> = files.iter().map(|file| take_file(file)).collect::<Result<_>>()?;
    let mut stored: BTreeMap<String, StoredTensor> = BTreeMap::new();
    for (file, map) in files.iter().zip(&maps) {
        for (name, tensor) in safetensors::read(file, map)? {
            if let Some(index) = &index
                && index.get(&name).is_none_or(|listed| dir.join(listed) != *file)
            {
                return Err(Error::format(
                    file,
                    format!("Tensor \"{name}\" is not listed for this file in {INDEX}, expected it to be"),
                ));
            }
            stored.insert(name, tensor);
        }
    }
    drop_tied_head(dir, &config, &mut stored)?;
    let tensors = if Taken::FREES {
        let file_of: BTreeMap<&Path, usize> =
            files.iter().enumerate().map(|(at, file)| (file.as_path(), at)).collect();
        let place = |(name, tensor): (String, StoredTensor)| {
            let file = file_of[tensor.file];
            (name, Place::of(tensor, file, &maps[file]))
        };
        let places = stored.into_iter().map(place).collect();
        let files = files.iter().map(PathBuf::as_path).zip(maps).collect();
        layout::read_freeing(dir, &config, files, places, decode)?
    } else {
        layout::read_all(dir, &config, &stored, decode)?
    };
    Ok(Checkpoint { config, tensors, text })
}

/// Which file holds each tensor, when the weights are in shards.
fn load_index(dir: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let path = dir.join(INDEX);
    let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
    if files::exists(&dir.join(WEIGHTS)) {
        return Err(Error::format(dir, format!("Holds both {WEIGHTS} and {INDEX}, expected one of them")));
    }
    let value = parse_json(&path, &bytes)?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map =
        map.ok_or_else(|| Error::format(&path, "weight_map is missing, expected tensor names and files"))?;
    let mut index = BTreeMap::new();
    for (name, file) in map {
        let plain =
            file.as_str().filter(|file| file.ends_with(".safetensors") && !file.contains(['/', '\\']));
        let file = plain.ok_or_else(|| {
            let reason =
                format!("Tensor \"{name}\" is in {file}, expected a .safetensors file in the same folder");
            Error::format(&path, reason)
        })?;
        index.insert(name.clone(), file.to_owned());
    }
    if index.is_empty() {
        return Err(Error::format(&path, "weight_map is empty, expected tensor names and files"));
    }
    Ok(Some(index))
}

/// Some writers store a tied head a second time. It says nothing new if it is the embedding, and contradicts the
/// config otherwise.
fn drop_tied_head(
    dir: &Path,
    config: &ModelConfig,
    stored: &mut BTreeMap<String, StoredTensor>,
) -> Result<()> {
    if !config.tie_word_embeddings {
        return Ok(());
    }
    let (Some(head), Some(embedding)) = (stored.get(LM_HEAD), stored.get(EMBEDDING)) else { return Ok(()) };
    if (head.encoding, &head.shape, head.bytes) != (embedding.encoding, &embedding.shape, embedding.bytes) {
        return Err(Error::format(
            dir,
            format!(
                "Tensor \"{LM_HEAD}\" differs from \"{EMBEDDING}\", expected it equal as tie_word_embeddings is true"
            ),
        ));
    }
    stored.remove(LM_HEAD);
    Ok(())
}

fn load_text(dir: &Path, config: &ModelConfig) -> Result<TextAssets> {
    let path = dir.join(TOKENIZER);
    let tokenizer = read_if_there(&path)?
        .map(|bytes| Tokenizer::from_json(&bytes).map_err(|error| Error::format(&path, error.to_string())))
        .transpose()?;
    let path = dir.join(TOKENIZER_CONFIG);
    let settings = match read_if_there(&path)? {
        Some(bytes) => parse_json(&path, &bytes)?,
        None => Value::Null,
    };
    let Templates { default: chat_template, named: named_templates } =
        Templates::read(dir, &path, settings.get("chat_template"))?;
    // A special token is a string or an object with "content"; where it is not named, its id in the config names it.
    let special = |key: &str, id: Option<u32>| {
        let named =
            settings.get(key).and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        named.map(str::to_owned).or_else(|| tokenizer.as_ref()?.id_to_token(id?))
    };
    Ok(TextAssets {
        chat_template,
        named_templates,
        bos_token: special("bos_token", config.bos_token_id),
        eos_token: special("eos_token", config.eos_token_ids.first().copied()),
        pad_token: special("pad_token", config.pad_token_id),
        tokenizer,
    })
}

/// Writes a model as a Hugging Face directory that transformers opens: `config.json`, `generation_config.json`,
/// `model.safetensors` and, as far as there is text, `tokenizer.json` and `tokenizer_config.json`. Each file is written
/// whole or not at all. With a `score.weight` the directory is a sequence classifier with one label.
///
/// # Errors
/// Before anything is written: [`Error::Input`] when the tensors are not those of `config`, when a value is not finite
/// as `dtype`, or when `dir` holds files of another model that this one would not replace. [`Error::Io`].
pub fn save(
    dir: &Path,
    config: &ModelConfig,
    tensors: &[TensorRef<'_>],
    text: &TextAssets,
    dtype: Dtype,
) -> Result<()> {
    config.validate()?;
    layout::check(config, tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())))
        .map_err(Error::Input)?;
    check_tokenizer(dir, config, text)?;
    check_values(tensors, dtype)?;
    let has_score = tensors.iter().any(|tensor| tensor.name == SCORE);
    let mut documents = vec![
        (CONFIG, pretty(&config_json(config, has_score, dtype))),
        (GENERATION_CONFIG, pretty(&generation_config(config))),
    ];
    documents.extend(text.tokenizer.iter().map(|tokenizer| (TOKENIZER, tokenizer.to_json())));
    documents.extend(tokenizer_config(config, text).map(|settings| (TOKENIZER_CONFIG, pretty(&settings))));

    for name in [peft::CONFIG, INDEX, templates::FILE, templates::FOLDER, TOKENIZER, TOKENIZER_CONFIG] {
        if !documents.iter().any(|(written, _)| *written == name) && files::exists(&dir.join(name)) {
            return Err(Error::Input(format!(
                "\"{}\" belongs to another model, expected a folder without it",
                dir.join(name).display()
            )));
        }
    }
    files::create_folder(dir).map_err(|error| Error::io("create", dir, &error))?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::write(&dir.join(WEIGHTS), tensors, &metadata, dtype)?;
    for (name, document) in documents {
        write_file(&dir.join(name), |file| file.write_all(document.as_bytes()))?;
    }
    Ok(())
}

/// Refuses values that are not finite as `dtype`.
pub(super) fn check_values(tensors: &[TensorRef<'_>], dtype: Dtype) -> Result<()> {
    for tensor in tensors {
        let values = tensor.read()?;
        if let Some(at) = safetensors::not_storable(&values, dtype) {
            return Err(Error::Input(format!(
                "Tensor \"{}\" holds \"{}\" at {at}, expected a number that is finite as {}",
                tensor.name,
                values[at],
                dtype.torch_name()
            )));
        }
    }
    Ok(())
}

pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn config_json(config: &ModelConfig, has_score: bool, dtype: Dtype) -> Value {
    let mut json = config.to_hf_json(dtype);
    if has_score {
        json["architectures"] = json!([config.family.class("ForSequenceClassification")]);
        json["id2label"] = json!({ "0": "score" });
        json["label2id"] = json!({ "score": 0 });
    }
    json
}

fn generation_config(config: &ModelConfig) -> Value {
    let json = config.to_hf_json(Dtype::F32);
    let ids = ["bos_token_id", "eos_token_id", "pad_token_id"];
    ids.into_iter()
        .filter(|key| !json[key].is_null())
        .map(|key| (key.to_owned(), json[key].clone()))
        .collect()
}

fn tokenizer_config(config: &ModelConfig, text: &TextAssets) -> Option<Value> {
    let template =
        text.chat_template.as_deref().map(|default| templates::setting(default, &text.named_templates));
    let named =
        [("bos_token", &text.bos_token), ("eos_token", &text.eos_token), ("pad_token", &text.pad_token)];
    if text.tokenizer.is_none() && template.is_none() && named.iter().all(|(_, value)| value.is_none()) {
        return None;
    }
    let mut json = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position,
        "clean_up_tokenization_spaces": false,
    });
    if let Some(template) = template {
        json["chat_template"] = template;
    }
    for (key, value) in named {
        if let Some(value) = value {
            json[key] = json!(value);
        }
    }
    Some(json)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    files::read(path).map_err(|error| Error::io("read", path, &error))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match files::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, &error)),
    }
}

pub(super) fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Error::format(path, format!("Not JSON: {error}")))
}

#[cfg(test)]
mod tests;
