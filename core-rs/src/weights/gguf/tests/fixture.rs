//! GGUF files made by hand: a tiny Llama with every supported encoding.

use half::f16;

use crate::config::{Family, ModelConfig, RopeScaling};
use crate::tokenizer::byte_letters;

/// A metadata value to be written.
#[derive(Clone)]
pub enum Meta {
    U32(u32),
    F32(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
}

/// A tensor to be written; `shape` is outermost first, `kind` ggml's number.
#[derive(Clone)]
pub struct Blob {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: u32,
    pub bytes: Vec<u8>,
}

#[derive(Clone)]
pub struct File {
    pub version: u32,
    pub metadata: Vec<(String, Meta)>,
    pub tensors: Vec<Blob>,
}

impl File {
    pub fn set(&mut self, key: &str, value: Meta) {
        match self.metadata.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.into(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.metadata.retain(|(name, _)| name != key);
    }

    pub fn tensor(&mut self, name: &str) -> &mut Blob {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_text(&mut out, key);
            put_value(&mut out, value);
        }
        let mut offset = 0usize;
        for tensor in &self.tensors {
            put_text(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in tensor.shape.iter().rev() {
                out.extend((*size as u64).to_le_bytes());
            }
            out.extend(tensor.kind.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset = (offset + tensor.bytes.len()).next_multiple_of(32);
        }
        for tensor in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(&tensor.bytes);
        }
        out
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Meta) {
    let mut kind = |number: u32| out.extend(number.to_le_bytes());
    match value {
        Meta::U32(number) => {
            kind(4);
            out.extend(number.to_le_bytes());
        }
        Meta::F32(number) => {
            kind(6);
            out.extend(number.to_le_bytes());
        }
        Meta::Flag(flag) => {
            kind(7);
            out.push((*flag).into());
        }
        Meta::Text(text) => {
            kind(8);
            put_text(out, text);
        }
        Meta::Texts(texts) => {
            kind(9);
            kind(8);
            out.extend((texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| put_text(out, text));
        }
        Meta::I32s(numbers) => {
            kind(9);
            kind(5);
            out.extend((numbers.len() as u64).to_le_bytes());
            numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
        }
    }
}

/// The config of [`small`]: one layer, 2 query heads on 1 key/value head of width 32, hidden size 64, tied.
pub fn config() -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        vocab_size: 288,
        hidden_size: 64,
        intermediate_size: 96,
        num_layers: 1,
        num_heads: 2,
        num_kv_heads: 1,
        head_dim: 32,
        max_position: 128,
        rope_theta: 100_000.0,
        rope_scaling: RopeScaling::Default,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        bos_token_id: Some(0),
        eos_token_ids: vec![1],
        pad_token_id: Some(1),
    }
}

/// Q4_1 matrices, a Q8_0 embedding, f32 norms and an f16 down projection, with the tokenizer of
/// [`crate::tokenizer::tests::small_json`].
pub fn small() -> File {
    let mut tensors =
        vec![blob("token_embd.weight", &[288, 64], 8, 1), blob("output_norm.weight", &[64], 0, 2)];
    for (part, shape, kind) in [
        ("attn_norm", vec![64], 0),
        ("attn_q", vec![64, 64], 3),
        ("attn_k", vec![32, 64], 3),
        ("attn_v", vec![32, 64], 3),
        ("attn_output", vec![64, 64], 3),
        ("ffn_norm", vec![64], 0),
        ("ffn_gate", vec![96, 64], 3),
        ("ffn_up", vec![96, 64], 3),
        ("ffn_down", vec![64, 96], 1),
    ] {
        let seed = tensors.len() as u32 + 1;
        tensors.push(blob(&format!("blk.0.{part}.weight"), &shape, kind, seed));
    }
    let merges = ["h e", "l l", "he ll", "hell o", "1 2", "Ġ 1"].map(str::to_owned);
    let tokens: Vec<String> = ["<|start|>".to_owned(), "<|end|>".to_owned()]
        .into_iter()
        .chain(byte_letters().map(|(_, letter)| letter.to_string()))
        .chain(merges.iter().map(|merge| merge.replace(' ', "")))
        .collect();
    let types = (0..tokens.len()).map(|id| if id < 2 { 3 } else { 1 }).collect();
    let text = |text: &str| Meta::Text(text.into());
    let metadata = [
        ("general.architecture", text("llama")),
        ("llama.block_count", Meta::U32(1)),
        ("llama.context_length", Meta::U32(128)),
        ("llama.embedding_length", Meta::U32(64)),
        ("llama.feed_forward_length", Meta::U32(96)),
        ("llama.attention.head_count", Meta::U32(2)),
        ("llama.attention.head_count_kv", Meta::U32(1)),
        ("llama.rope.freq_base", Meta::F32(1e5)),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
        ("llama.rope.dimension_count", Meta::U32(32)),
        ("llama.vocab_size", Meta::U32(288)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.add_bos_token", Meta::Flag(false)),
        ("tokenizer.ggml.tokens", Meta::Texts(tokens)),
        ("tokenizer.ggml.token_type", Meta::I32s(types)),
        ("tokenizer.ggml.merges", Meta::Texts(merges.into())),
        ("tokenizer.ggml.bos_token_id", Meta::U32(0)),
        ("tokenizer.ggml.eos_token_id", Meta::U32(1)),
        ("tokenizer.ggml.padding_token_id", Meta::U32(1)),
        ("tokenizer.chat_template", text("{{ messages }}")),
    ];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    File { version: 3, metadata, tensors }
}

/// A tensor of reproducible noise with sensible scales.
fn blob(name: &str, shape: &[usize], kind: u32, seed: u32) -> Blob {
    let weights: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(2_654_435_761);
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let half = |value: f32| f16::from_f32(value).to_le_bytes();
    let mut bytes = Vec::new();
    match kind {
        0 => (0..weights).for_each(|_| bytes.extend((f32::from(noise()) / 128.0).to_le_bytes())),
        1 => (0..weights).for_each(|_| bytes.extend(half(f32::from(noise()) / 128.0 - 1.0))),
        3 => (0..weights / 32).for_each(|_| {
            bytes.extend(half(f32::from(noise()) / 1024.0));
            bytes.extend(half(f32::from(noise()) / -256.0));
            bytes.extend((0..16).map(|_| noise()));
        }),
        _ => (0..weights / 32).for_each(|_| {
            bytes.extend(half(f32::from(noise()) / 1024.0));
            bytes.extend((0..32).map(|_| noise()));
        }),
    }
    Blob { name: name.into(), shape: shape.into(), kind, bytes }
}
