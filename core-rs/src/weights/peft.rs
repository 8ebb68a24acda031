//! Folders of low-rank adapters in the layout of PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::hugging_face::{self, pretty};
use super::{Dtype, Tensor, TensorRef, map_file, safetensors, write_file};
use crate::model::lora::{LoraShape, PREFIX, Target};
use crate::{Error, Result, files};

/// Says what the adapters are.
pub(super) const CONFIG: &str = "adapter_config.json";
/// Holds their values.
const WEIGHTS: &str = "adapter_model.safetensors";
/// A model's own file, which stands in no folder of adapters.
const MODEL_CONFIG: &str = hugging_face::CONFIG;

/// Says nothing of what the adapters compute.
const PASSED_OVER: [&str; 10] = [
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "revision",
    "task_type",
    "peft_version",
    "eva_config",
    "megatron_core",
    "layers_pattern",
    "qalora_group_size",
];
/// Ways to make A and B, or A alone, that leave the base as it is.
const INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];
/// What transformers' classifiers call their heads. PEFT names both, whichever there is.
const HEADS: [&str; 2] = ["classifier", "score"];

/// A folder of adapters.
pub struct AdapterFolder {
    /// What the adapters are.
    pub shape: LoraShape,
    /// Their values, and the score head's, under the names of the folder.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Name of the score head in such a folder.
pub fn score_name() -> String {
    format!("{PREFIX}{}", super::SCORE)
}

/// Whether a folder holds adapters.
pub fn holds_adapters(dir: &Path) -> bool {
    files::exists(&config_path(dir))
}

/// The file that says what the adapters are.
pub fn config_path(dir: &Path) -> PathBuf {
    dir.join(CONFIG)
}

/// Reads a folder of adapters. Options of PEFT that compute anything else than [`LoraShape`] says are refused by name.
///
/// # Errors
/// [`Error::Format`] naming the file, the value and what was expected; [`Error::Io`].
pub fn load(dir: &Path) -> Result<AdapterFolder> {
    let path = config_path(dir);
    let shape = shape(&hugging_face::parse_json(&path, &hugging_face::read(&path)?)?)
        .map_err(|reason| Error::format(&path, reason))?;
    let file = dir.join(WEIGHTS);
    let map = map_file(&file)?;
    let stored = safetensors::read(&file, &map)?;
    let tensors = stored.into_iter().map(|(name, tensor)| Ok((name, tensor.decode()?)));
    Ok(AdapterFolder { shape, tensors: tensors.collect::<Result<_>>()? })
}

fn shape(config: &Value) -> std::result::Result<LoraShape, String> {
    let config = config.as_object().ok_or("Not an object, expected the options of an adapter")?;
    let field = |name: &str| config.get(name).ok_or_else(|| format!("{name} is missing"));
    for (name, value) in config {
        let unsupported =
            |expected: &str| Err(format!("{name} is \"{}\", expected {expected}", plain(value)));
        match name.as_str() {
            "peft_type" if value != "LORA" => return unsupported("LORA"),
            "bias" if value != "none" => return unsupported("none: biases are not trained"),
            "init_lora_weights" => {
                let known = value.is_boolean() || INITIALISATIONS.iter().any(|name| value == name);
                if !known {
                    return unsupported("an initialisation that leaves the base as it is");
                }
            }
            "modules_to_save" => {
                let modules = value.as_array().map_or(&[][..], Vec::as_slice);
                if !(value.is_null() || value.is_array())
                    || modules.iter().any(|module| !HEADS.iter().any(|head| module == head))
                {
                    return unsupported("no modules but the score head");
                }
            }
            "peft_type" | "bias" | "r" | "lora_alpha" | "lora_dropout" | "target_modules" => {}
            passed if PASSED_OVER.contains(&passed) => {}
            _ if is_off(value) => {}
            _ => return unsupported("that option to be off: it is not supported"),
        }
    }
    field("peft_type")?;
    let rank = field("r")?;
    let rank = rank
        .as_u64()
        .and_then(|rank| usize::try_from(rank).ok())
        .ok_or_else(|| format!("r is \"{}\", expected a whole number", plain(rank)))?;
    let number = |name: &str| {
        let value = field(name)?;
        value.as_f64().ok_or_else(|| format!("{name} is \"{}\", expected a number", plain(value)))
    };
    let (alpha, dropout) = (number("lora_alpha")?, number("lora_dropout")?);
    let targets = targets(field("target_modules")?)?;
    LoraShape::new(rank, alpha, dropout, targets).map_err(|error| error.to_string())
}

/// Whether an option has the value that turns it off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

/// A value without the quotes of a string.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn targets(value: &Value) -> std::result::Result<Vec<Target>, String> {
    if value == "all-linear" {
        return Ok(Target::ALL.to_vec());
    }
    let names = value.as_array().ok_or_else(|| {
        format!("target_modules is \"{}\", expected a list of linear layers or \"all-linear\"", plain(value))
    })?;
    // PEFT names a layer by any whole ending of its path, or by the path. Where some decoder layers have an adapter and
    // others do not, the tensors of the others will be missing.
    let parse = |name: &Value| {
        let name = plain(name);
        let last = name.rsplit('.').next().unwrap_or_default();
        last.parse::<Target>().map_err(|error| format!("target_modules holds \"{name}\": {error}"))
    };
    let targets = names.iter().map(parse).collect::<std::result::Result<BTreeSet<Target>, String>>()?;
    Ok(targets.into_iter().collect())
}

/// Writes a folder of adapters, each file whole or not at all. With a score head it is a sequence classifier's, as
/// PEFT has it. `base` is where the weights below were read from.
///
/// # Errors
/// Before anything is written: [`Error::Input`] when a value is not finite as `dtype`, or when `dir` holds a model.
/// [`Error::Io`].
pub fn save(
    dir: &Path,
    shape: &LoraShape,
    base: Option<&Path>,
    tensors: &[TensorRef<'_>],
    dtype: Dtype,
) -> Result<()> {
    hugging_face::check_values(tensors, dtype)?;
    if files::exists(&dir.join(MODEL_CONFIG)) {
        return Err(Error::Input(format!(
            "\"{}\" belongs to a model, expected a folder without it for adapters",
            dir.join(MODEL_CONFIG).display()
        )));
    }
    files::create_folder(dir).map_err(|error| Error::io("create", dir, &error))?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::write(&dir.join(WEIGHTS), tensors, &metadata, dtype)?;
    let has_score = tensors.iter().any(|tensor| tensor.name == score_name());
    let config = pretty(&config_json(shape, base, has_score));
    write_file(&config_path(dir), |file| file.write_all(config.as_bytes()))
}

fn config_json(shape: &LoraShape, base: Option<&Path>, has_score: bool) -> Value {
    let LoraShape { rank, alpha, dropout, targets } = shape;
    // PEFT declares it a whole number.
    let whole = alpha.fract() == 0.0 && *alpha < 2.0_f64.powi(53);
    json!({
        "peft_type": "LORA",
        "task_type": if has_score { "SEQ_CLS" } else { "CAUSAL_LM" },
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": if whole { json!(*alpha as u64) } else { json!(alpha) },
        "lora_dropout": dropout,
        "target_modules": targets.iter().map(|target| target.name()).collect::<Vec<_>>(),
        "modules_to_save": if has_score { json!(["score"]) } else { Value::Null },
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "inference_mode": true,
        "use_rslora": false,
        "use_dora": false,
        "rank_pattern": {},
        "alpha_pattern": {},
    })
}

#[cfg(test)]
mod tests;
