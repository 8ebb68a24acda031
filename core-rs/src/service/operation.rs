//! What a request asks for.

use crate::backend::{Arithmetic, Place};
use crate::generate::{DrawKey, Request};
use crate::model::{Dropout, InferencePrecision, Precision, SavedAdapters};
use crate::weights::Dtype;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// A request's body. `model` and `tape` are handles; arrays are named at each operation.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Operation {
    /// Answers `{"threads"}`. 0 takes as many as the machine offers.
    SetThreads { threads: usize },
    /// `device` is "auto", "cpu" or "cuda:0". Answers `{"model", "info"}`.
    Load { path: PathBuf, device: String, arithmetic: Products, precision: ProductPrecision, frozen: bool },
    /// A new random model from a Hugging Face configuration and a `tokenizer.json`; answers as `load`.
    Init {
        config: Value,
        tokenizer: Option<String>,
        chat_template: Option<String>,
        seed: u64,
        device: String,
        arithmetic: Products,
        precision: ProductPrecision,
    },
    /// Answers the info of a model.
    Info { model: usize },
    /// Answers tokens: u32 of all texts, lengths: u32.
    Encode { model: usize, texts: Vec<String> },
    /// tokens: u32, lengths: u32. Answers `{"texts"}`.
    Decode { model: usize, keep_special: bool },
    /// tokens: u32, lengths: u32 of the prompts. Each finished request is an event `{"done", "text", "finish",
    /// "promptTokens"}` with tokens: u32, logprobs: f32; with `stream` each step is an event `{}` with requests:
    /// u32, tokens: u32, logprobs: f32. `kvBytes` null takes a share of the machine's memory. Answers `{"kvBudget",
    /// "kvPeak", "waited", "prefilled"}`.
    Generate { model: usize, requests: Vec<Value>, stream: bool, kv_bytes: Option<usize> },
    /// tokens: u32, lengths: u32, parents: i32, optional select: u8. Answers logprobs: f32.
    Logprobs { model: usize, temperature: f32 },
    /// tokens: u32, lengths: u32, parents: i32, scores: u32, the tokens that are scored. Answers scores: f32.
    Scores { model: usize },
    /// As `logprobs`, optional scores: u32. `dropout` names the masks of adapters' inputs; with null nothing is
    /// dropped. Answers `{"tape"}`, logprobs: f32, entropies: f32, scores: f32.
    Forward { model: usize, temperature: f32, entropy: bool, recompute: bool, dropout: Option<MaskKey> },
    /// Optional dLogprobs: f32, dEntropies: f32, dScores: f32.
    Backward { model: usize, tape: usize },
    /// Answers gradNorm: f64.
    Step {
        model: usize,
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        weight_decay: f64,
        max_grad_norm: f64,
    },
    /// Throws accumulated gradients away.
    DiscardGradients { model: usize },
    /// Writes the accumulated gradients as a safetensors file.
    SaveGradients { model: usize, path: PathBuf },
    /// Answers what training would take: `{"free", "state", "reference", "pass", "token", "recomputedToken"}`, in bytes.
    TrainingMemory { model: usize },
    /// Adds a score head of zeros unless there is one. Answers the info.
    AddScoreHead { model: usize },
    /// Adds adapters to a model that has none; `targets` are the last parts of linear layers' Hugging Face names.
    /// Answers the info.
    AddLora { model: usize, rank: usize, alpha: f64, dropout: f64, targets: Vec<String>, seed: u64 },
    /// Answers as `load`. `precision` null takes the model's own; of a model with adapters it is then the weights below
    /// them, and with any precision a copy that they are merged into.
    Snapshot { model: usize, precision: Option<ProductPrecision> },
    /// Writes a Hugging Face directory, or that of adapters in PEFT's layout. `adapters` is "separate" or "merged"; null
    /// takes the former where there are such.
    Save { model: usize, path: PathBuf, dtype: StoredType, optimizer: bool, adapters: Option<StoredAdapters> },
    /// Replaces weights and the optimizer's state, or adapters and theirs. Answers the info.
    Restore { model: usize, path: PathBuf },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sampling {
    max_tokens: usize,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    /// Token ids and biases; null, which is how JSON writes −∞, is a ban.
    logit_bias: Vec<(u32, Option<f32>)>,
    stop: Vec<String>,
    ignore_eos: bool,
    key: Key,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    seed: u64,
    step: u32,
    prompt: u32,
    rollout: u32,
}

/// See [`Dropout`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskKey {
    seed: u64,
    step: u32,
    batch: u32,
}

impl From<MaskKey> for Dropout {
    fn from(MaskKey { seed, step, batch }: MaskKey) -> Self {
        Dropout { seed, step, batch }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredAdapters {
    Separate,
    Merged,
}

impl From<StoredAdapters> for SavedAdapters {
    fn from(stored: StoredAdapters) -> Self {
        match stored {
            StoredAdapters::Separate => SavedAdapters::Separate,
            StoredAdapters::Merged => SavedAdapters::Merged,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredType {
    F32,
    F16,
    Bf16,
}

impl From<StoredType> for Dtype {
    fn from(stored: StoredType) -> Self {
        match stored {
            StoredType::F32 => Dtype::F32,
            StoredType::F16 => Dtype::F16,
            StoredType::Bf16 => Dtype::BF16,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProductPrecision {
    F32,
    Bf16,
    Int8,
}

impl From<ProductPrecision> for InferencePrecision {
    fn from(precision: ProductPrecision) -> Self {
        match precision {
            ProductPrecision::F32 => Precision::F32.into(),
            ProductPrecision::Bf16 => Precision::Bf16.into(),
            ProductPrecision::Int8 => InferencePrecision::Int8,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Products {
    Exact,
    Fast,
}

/// Where and how a model is to compute.
pub fn place(device: &str, products: Products) -> Result<Place> {
    let arithmetic = match products {
        Products::Exact => Arithmetic::Exact,
        Products::Fast => Arithmetic::Fast,
    };
    Ok(Place { device: device.parse()?, arithmetic })
}

/// The precision of a model that is trained.
pub fn trained(precision: ProductPrecision) -> Result<Precision> {
    match precision.into() {
        InferencePrecision::Trained(precision) => Ok(precision),
        InferencePrecision::Int8 => Err(Error::Input(
            "Precision \"int8\" is for inference alone, expected \"f32\" or \"bf16\"".into(),
        )),
    }
}

/// One rollout's options, of the request of this index.
pub fn sampling(index: usize, request: Value, prompt: Vec<u32>) -> Result<Request> {
    let r = Sampling::deserialize(request)
        .map_err(|error| Error::Input(format!("Request {index} is malformed: {error}")))?;
    let Key { seed, step, prompt: prompt_index, rollout } = r.key;
    Ok(Request {
        prompt,
        max_tokens: r.max_tokens,
        temperature: r.temperature,
        top_k: r.top_k,
        top_p: r.top_p,
        min_p: r.min_p,
        logit_bias: r.logit_bias.into_iter().map(|(t, b)| (t, b.unwrap_or(f32::NEG_INFINITY))).collect(),
        stop: r.stop,
        ignore_eos: r.ignore_eos,
        key: DrawKey { seed, step, prompt: prompt_index, rollout },
    })
}
