//! Files from strangers. Thousands of damaged weights, indexes, configs, tokenizers and GGUF files are loaded; each must
//! give an error or a model that runs a forward pass, with no panic, soon, and in memory that the file accounts for.
//! These are 8,500; 1,500 damaged chat templates more are rendered in `ts/engine/hostile_template_test.ts`.

mod files;
mod limits;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;

use rmr1_core::backend::Device;
use rmr1_core::cancel::Cancel;
use rmr1_core::forest::Forest;
use rmr1_core::model::{ForwardOptions, LanguageModel, Model, Precision};

use self::mutate::Damage;

/// One test at a time, since memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Bytes that may be live for each byte of a file: a 4-bit weight becomes 4 bytes in the checkpoint and 4 in the model,
/// a JSON number or short token becomes a tree node, a map entry and a table entry of the tokenizer.
const LIVE_A_BYTE: usize = 40;
/// Bytes that may be live whatever the file: threads' caches, and regular expressions, which the `regex` crate compiles
/// up to 10 MiB each in two forms.
const LIVE_AT_LEAST: usize = 32 << 20;

/// How the damaged files fared.
#[derive(Default)]
struct Tally {
    refused: usize,
    ran: usize,
    /// The most that a case took of the memory it may take, in percent.
    memory: usize,
}

/// Loads the model at `path`, reads and writes text with its tokenizer, and runs it on two tokens.
fn run(path: &Path) -> rmr1_core::Result<()> {
    let model = Model::load(path, Device::Cpu, Precision::F32)?;
    if let Some(tokenizer) = &model.text().tokenizer
        && let Ok(ids) = tokenizer.encode("<|start|>hello 12\u{4} 你好 \n\n  x")
        && let Ok(text) = tokenizer.decode(&ids, true)
    {
        assert!(text.len() < 1 << 20, "{} bytes of text from {} tokens", text.len(), ids.len());
    }
    let config = model.config();
    let last = (config.vocab_size - 1) as u32;
    let tokens = vec![0, last][..config.max_position.min(2)].to_vec();
    let forest = Forest::flat(&[tokens])?;
    model.forward(&forest, &ForwardOptions::default(), &Cancel::new()).map(drop)
}

/// Damages `name` in a copy of a model in `count` ways, most of them as JSON if it is `json`.
fn damage(model: impl FnOnce() -> files::Files, name: &str, count: u64, json: bool) -> Tally {
    // Making the model takes memory, too, which must not be counted as another case's.
    let _turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    let model = model();
    let dir = tempfile::tempdir().unwrap();
    model.write(dir.path());
    run(&dir.path().join(model.opened())).expect("the whole model runs");
    let whole = model.bytes(name);
    let others = model.others(name);
    let mut tally = Tally::default();
    for seed in 0..count {
        let mut damage = Damage::new(name, seed);
        let bytes = damage.apply(whole, &others, json);
        std::fs::write(dir.path().join(name), &bytes).unwrap();
        let size: usize = model.size() - whole.len() + bytes.len();
        let cap = LIVE_A_BYTE * size + LIVE_AT_LEAST;
        let case = format!("{name} with seed {seed}: {}", damage.story());
        let path = dir.path().join(model.opened());
        let (outcome, peak) = limits::watched(&case, cap, || catch_unwind(AssertUnwindSafe(|| run(&path))));
        assert!(peak <= cap, "{case}: {peak} bytes were live, expected at most {cap} for a file of {size}");
        tally.memory = tally.memory.max(100 * peak / cap);
        match outcome {
            Ok(Ok(())) => tally.ran += 1,
            Ok(Err(error)) => {
                assert!(error.kind() != "internal", "{case}: {error}");
                tally.refused += 1;
            }
            Err(_) => panic!("{case}: loading panicked"),
        }
    }
    eprintln!("{name}: {} refused, {} ran, {} % of the memory", tally.refused, tally.ran, tally.memory);
    tally
}

#[test]
fn memory_is_counted() {
    let _turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    let size = 5 << 20;
    let ((), peak) = limits::watched("five MiB", size, || drop(std::hint::black_box(vec![1u8; size])));
    assert!((size..size + (1 << 20)).contains(&peak), "{peak}");
}

#[test]
fn safetensors() {
    let tally = damage(files::hugging_face, "model.safetensors", 2000, false);
    assert!(tally.refused > 400 && tally.ran > 20);
}

#[test]
fn shards() {
    let tally = damage(files::sharded, "model-00002-of-00002.safetensors", 800, false);
    assert!(tally.refused > 100 && tally.ran > 10);
}

#[test]
fn the_index_of_shards() {
    let tally = damage(files::sharded, "model.safetensors.index.json", 700, true);
    assert!(tally.refused > 100);
}

#[test]
fn configs() {
    let tally = damage(files::hugging_face, "config.json", 1200, true);
    assert!(tally.refused > 300 && tally.ran > 50);
    let tally = damage(files::hugging_face, "generation_config.json", 300, true);
    assert!(tally.refused > 50);
}

#[test]
fn tokenizers() {
    let tally = damage(files::hugging_face, "tokenizer.json", 1200, true);
    assert!(tally.refused > 300 && tally.ran > 50);
}

#[test]
fn tokenizer_configs() {
    let tally = damage(files::hugging_face, "tokenizer_config.json", 500, true);
    assert!(tally.refused > 100 && tally.ran > 50);
}

#[test]
fn gguf() {
    let tally = damage(|| files::gguf(files::Vocabulary::ByteLevel), "model.gguf", 1000, false);
    assert!(tally.refused > 200 && tally.ran > 100);
    let tally = damage(|| files::gguf(files::Vocabulary::SentencePiece), "model.gguf", 800, false);
    assert!(tally.refused > 200 && tally.ran > 100);
}
