//! Small whole models to be damaged: a Hugging Face directory, the same in shards, and a GGUF file of many encodings.

use std::collections::BTreeMap;
use std::path::Path;

use rmr1_core::backend::Device;
use rmr1_core::config::ModelConfig;
use rmr1_core::model::{Model, Precision, SaveOptions};
use rmr1_core::tokenizer::Tokenizer;
use rmr1_core::weights::{Dtype, TensorRef, TextAssets, save_tensors};
use serde_json::{Value, json};

/// A model as files by name.
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn of(dir: &Path) -> Self {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        Self(
            entries
                .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
                .collect(),
        )
    }

    pub fn write(&self, dir: &Path) {
        self.0.iter().for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes).unwrap());
    }

    /// What is opened, from the directory that holds the files.
    pub fn opened(&self) -> &str {
        if self.0.contains_key("model.gguf") { "model.gguf" } else { "" }
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        &self.0[name]
    }

    pub fn size(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The files beside `name`, and itself.
    pub fn others(&self, name: &str) -> Vec<&[u8]> {
        let beside = self.0.iter().filter(|(other, _)| *other != name);
        beside.map(|(_, bytes)| bytes.as_slice()).chain([self.bytes(name)]).collect()
    }
}

const VOCAB: usize = 272;
const HIDDEN: usize = 16;

fn config() -> ModelConfig {
    let config = json!({
        "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "bos_token_id": 0, "eos_token_id": [1], "pad_token_id": 1,
    });
    ModelConfig::from_hf_json(Path::new("config.json"), config.to_string().as_bytes()).unwrap()
}

/// Each byte's letter in byte-level vocabularies (Radford et al. 2019).
fn letters() -> Vec<String> {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut unprintable = 0x100..;
    let letter = |byte: u32| {
        let code = if printable(byte) { Some(byte) } else { unprintable.next() };
        code.and_then(char::from_u32).expect("U+0021 to U+0143 are letters").to_string()
    };
    (0..256).map(letter).collect()
}

const MERGES: [[&str; 2]; 6] = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["1", "2"], ["Ġ", "1"]];

fn tokens() -> Vec<String> {
    let controls = ["<|start|>", "<|end|>"].map(str::to_owned);
    controls.into_iter().chain(letters()).chain(MERGES.map(|pair| pair.concat())).collect()
}

fn tokenizer() -> Value {
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true })
    };
    let vocab: serde_json::Map<String, Value> =
        tokens().into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<|start|>"), special(1, "<|end|>")],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" }, { "type": "Replace", "pattern": { "Regex": "\\u00a0+" }, "content": " " } ] },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true },
            { "type": "Split", "pattern": { "Regex": r" ?\p{L}+| ?\p{N}{1,3}|\s+(?!\S)|\s+" },
              "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true } ] },
        "post_processor": { "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<|start|>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<|start|>": { "id": "<|start|>", "ids": [0], "tokens": ["<|start|>"] } } },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": MERGES },
    })
}

fn saved(dir: &Path) -> Model {
    let text = TextAssets {
        tokenizer: Some(Tokenizer::from_json(tokenizer().to_string().as_bytes()).unwrap()),
        chat_template: Some("{% for m in messages %}{{ m['content'] }}{% endfor %}".into()),
        named_templates: [("tool_use".to_owned(), "{{ tools }}".to_owned())].into(),
        bos_token: Some("<|start|>".into()),
        eos_token: Some("<|end|>".into()),
        pad_token: Some("<|end|>".into()),
    };
    let model = Model::init(config(), text, 5, Device::Cpu, Precision::F32).unwrap();
    model.save(dir, &SaveOptions { dtype: Dtype::F16, ..SaveOptions::default() }).unwrap();
    model
}

/// One directory with everything that a model can have.
pub fn hugging_face() -> Files {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    Files::of(dir.path())
}

/// The same with its weights in two files.
pub fn sharded() -> Files {
    let dir = tempfile::tempdir().unwrap();
    saved(dir.path());
    let whole = dir.path().join("model.safetensors");
    let loaded = rmr1_core::weights::load(dir.path()).unwrap().tensors;
    std::fs::remove_file(whole).unwrap();
    let tensors: Vec<_> = loaded
        .iter()
        .map(|(name, tensor)| TensorRef::new(name.clone(), tensor.shape.clone(), &tensor.data))
        .collect();
    let mut map = serde_json::Map::new();
    for (part, tensors) in tensors.chunks(tensors.len().div_ceil(2)).enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", part + 1);
        save_tensors(&dir.path().join(&file), tensors, &BTreeMap::new()).unwrap();
        map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), json!(file))));
    }
    let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    Files::of(dir.path())
}

/// Bytes of GGUF in the making.
#[derive(Default)]
struct Gguf(Vec<u8>);

impl Gguf {
    fn u32(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: usize) {
        self.0.extend((number as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, kind: u32, items: &[T], put: impl Fn(&mut Self, &T)) {
        self.u32(9);
        self.u32(kind);
        self.u64(items.len());
        items.iter().for_each(|item| put(self, item));
    }
}

/// ggml's numbers of the types, and a block's bytes and weights: F32 for vectors, one of the others for each matrix.
const KINDS: [(u32, usize, usize); 10] = [
    (0, 4, 1),
    (30, 2, 1),
    (2, 18, 32),
    (3, 20, 32),
    (6, 22, 32),
    (7, 24, 32),
    (8, 34, 32),
    (12, 144, 256),
    (13, 176, 256),
    (14, 210, 256),
];

/// How a vocabulary is kept in GGUF.
pub enum Vocabulary {
    ByteLevel,
    SentencePiece,
}

/// A Llama of one layer with rows of 256, so that every encoding but F16 is there, and a tokenizer.
pub fn gguf(vocabulary: Vocabulary) -> Files {
    let (model, tokens) = match vocabulary {
        Vocabulary::ByteLevel => ("gpt2", tokens()),
        Vocabulary::SentencePiece => {
            let pieces = ["h", "e", "l", "o", "\u{2581}", "he", "ll", "llo", "hello", "\u{2581}hello"];
            let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
            let controls = ["<|start|>", "<|end|>"].map(str::to_owned);
            ("llama", controls.into_iter().chain(bytes).chain(pieces.map(str::to_owned)).collect())
        }
    };
    let mut metadata = Gguf::default();
    let mut keys = 0;
    for (key, number) in [
        ("llama.block_count", 1),
        ("llama.context_length", 64),
        ("llama.embedding_length", 256),
        ("llama.feed_forward_length", 256),
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 4),
        ("llama.rope.dimension_count", 64),
        ("tokenizer.ggml.bos_token_id", 0),
        ("tokenizer.ggml.eos_token_id", 1),
    ] {
        metadata.text(key);
        metadata.u32(4);
        metadata.u32(number);
        keys += 1;
    }
    for (key, text) in [
        ("general.architecture", "llama"),
        ("tokenizer.ggml.model", model),
        ("tokenizer.ggml.pre", "llama-bpe"),
        ("tokenizer.chat_template", "{{ messages }}"),
    ] {
        metadata.text(key);
        metadata.u32(8);
        metadata.text(text);
        keys += 1;
    }
    metadata.text("llama.attention.layer_norm_rms_epsilon");
    metadata.u32(6);
    metadata.u32(1e-5f32.to_bits());
    metadata.text("tokenizer.ggml.tokens");
    metadata.list(8, &tokens, |out, token| out.text(token));
    metadata.text("tokenizer.ggml.token_type");
    metadata.list(5, &tokens, |out, token| out.u32(if token.starts_with("<|") { 3 } else { 1 }));
    metadata.text("tokenizer.ggml.merges");
    metadata.list(8, &MERGES, |out, pair| out.text(&pair.join(" ")));
    metadata.text("tokenizer.ggml.scores");
    metadata.list(6, &tokens, |out, token| out.u32((token.len() as f32).to_bits()));
    keys += 5;

    let names = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    let matrices = names.map(|name| (format!("blk.0.{name}.weight"), 256));
    let vectors = ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"];
    let embeddings =
        [("token_embd.weight".to_owned(), tokens.len()), ("output.weight".to_owned(), tokens.len())];
    let tensors: Vec<(String, usize)> =
        vectors.map(|name| (name.to_owned(), 1)).into_iter().chain(embeddings).chain(matrices).collect();
    let mut table = Gguf::default();
    let mut data = Gguf::default();
    for (at, (name, rows)) in tensors.iter().enumerate() {
        let (kind, bytes, weights) = if *rows == 1 { KINDS[0] } else { KINDS[at - 2] };
        table.text(name);
        table.u32(if *rows == 1 { 1 } else { 2 });
        table.u64(256);
        if *rows > 1 {
            table.u64(*rows);
        }
        table.u32(kind);
        table.u64(data.0.len());
        // Bytes below 0x20 are small finite scales in every encoding.
        let size = 256 * rows / weights * bytes;
        data.0.extend((0..size).map(|i| ((i * 7 + at) % 29) as u8));
        data.0.resize(data.0.len().next_multiple_of(32), 0);
    }
    let mut file = Gguf(b"GGUF".to_vec());
    file.u32(3);
    file.u64(tensors.len());
    file.u64(keys);
    file.0.extend(metadata.0);
    file.0.extend(table.0);
    file.0.resize(file.0.len().next_multiple_of(32), 0);
    file.0.extend(data.0);
    Files([("model.gguf".to_owned(), file.0)].into())
}
