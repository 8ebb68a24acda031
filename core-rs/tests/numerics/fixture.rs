//! The committed references, and the rule by which both sides make numbers (`tests/parity/fixture_rules.py`).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Language models among the fixtures, with each family, stored type, head layout and rotary scaling.
pub const CAUSAL: [&str; 9] = [
    "gqa_untied_f16",
    "mha_tied_f32",
    "wide_heads_bf16_shards",
    "llama_biases_llama3_f32",
    "llama_linear_f16",
    "qwen2_yarn_bf16",
    "qwen2_bf16",
    "mistral_f16",
    "qwen3_f32",
];
/// The fixture with a score head instead of an LM head.
pub const SCORE: &str = "score_f32";

/// What transformers says of a tiny model.
#[derive(Deserialize)]
pub struct Reference {
    pub cases: Vec<Case>,
}

/// One forest.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub tokens: Vec<u32>,
    pub lengths: Vec<u32>,
    pub parents: Vec<i32>,
    /// Forest tokens whose values are listed.
    pub listed: Vec<usize>,
    pub runs: Vec<Run>,
}

/// The values of a forest at one temperature, those of `listed`.
#[derive(Deserialize)]
pub struct Run {
    pub temperature: f32,
    #[serde(default)]
    pub logprobs: Vec<f64>,
    #[serde(default)]
    pub entropies: Vec<f64>,
    #[serde(default)]
    pub scores: Vec<f64>,
    /// Norm, and projection on `numbers("projection:NAME")`, of each tensor's gradient.
    pub gradients: BTreeMap<String, [f64; 2]>,
}

/// The folder of a tiny model.
pub fn folder(name: &str) -> PathBuf {
    fixtures().join("tiny-models").join(name)
}

/// The reference of a tiny model.
pub fn reference(name: &str) -> Reference {
    read(&fixtures().join("tiny-models").join(format!("{name}.json")))
}

/// Where the references are.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// Reads a JSON file.
pub fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `count` numbers in [-1, 1): SplitMix64 at counters from 1, from the label's 64-bit FNV-1a hash, top 24 bits.
pub fn numbers(label: &str, count: usize) -> Vec<f32> {
    let stream = label
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let number = |i: u64| {
        let mut z = stream.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (1..=count as u64).map(number).collect()
}

/// `count` token ids below `vocab`.
pub fn tokens(label: &str, count: usize, vocab: usize) -> Vec<u32> {
    numbers(label, count).into_iter().map(|x| ((f64::from(x) + 1.0) / 2.0 * vocab as f64) as u32).collect()
}
