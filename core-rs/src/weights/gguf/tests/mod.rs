mod fixture;

use std::path::PathBuf;

use proptest::prelude::*;

use self::fixture::{Blob, File, Meta, config, small};
use super::*;
use crate::config::{RopeScaling, Yarn};
use crate::weights::Tensor;
use crate::weights::{Dtype, TensorRef, dequantize::Encoding, load as load_any, save};

fn open(file: &File) -> crate::Result<Checkpoint> {
    open_bytes(&file.bytes())
}

fn open_bytes(bytes: &[u8]) -> crate::Result<Checkpoint> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.gguf"), bytes).unwrap();
    load_any(dir.path())
}

fn refusal(change: impl FnOnce(&mut File)) -> String {
    let mut file = small();
    change(&mut file);
    open(&file).unwrap_err().to_string()
}

fn refs(tensors: &BTreeMap<String, Tensor>) -> Vec<TensorRef<'_>> {
    tensors
        .iter()
        .map(|(name, tensor)| TensorRef::new(name.clone(), tensor.shape.clone(), &tensor.data))
        .collect()
}

#[test]
fn config_text_and_plain_tensors_are_read() {
    for version in [2, 3] {
        let file = File { version, ..small() };
        let read = open(&file).unwrap();
        assert_eq!(read.config, config());
        assert_eq!(read.text.chat_template.as_deref(), Some("{{ messages }}"));
        assert_eq!(read.text.bos_token.as_deref(), Some("<|start|>"));
        assert_eq!(
            (read.text.eos_token.as_deref(), read.text.pad_token.as_deref()),
            (Some("<|end|>"), Some("<|end|>"))
        );
        let embedding = &read.tensors["model.embed_tokens.weight"];
        assert_eq!(embedding.shape, [288, 64]);
        assert_eq!(embedding.data, Encoding::Q8_0.decode(&small().tensor("token_embd.weight").bytes));
        let down = &read.tensors["model.layers.0.mlp.down_proj.weight"];
        assert_eq!(down.data, Encoding::F16.decode(&small().tensor("blk.0.ffn_down.weight").bytes));
    }
}

/// llama.cpp's converter turns row `half·16 + j` of a head of width 32 into row `2j + half`.
#[test]
fn query_and_key_rows_are_put_back_into_halves() {
    let read = open(&small()).unwrap();
    for (ours, theirs, heads) in [("q_proj", "attn_q", 2), ("k_proj", "attn_k", 1)] {
        let restored = &read.tensors[&format!("model.layers.0.self_attn.{ours}.weight")].data;
        let stored = Encoding::Q4_1.decode(&small().tensor(&format!("blk.0.{theirs}.weight")).bytes);
        let row = |data: &[f32], at: usize| data[at * 64..(at + 1) * 64].to_vec();
        for head in 0..heads {
            for half in 0..2 {
                for j in 0..16 {
                    let (here, there) = (head * 32 + half * 16 + j, head * 32 + 2 * j + half);
                    assert_eq!(row(restored, here), row(&stored, there));
                }
            }
        }
    }
    let value = &read.tensors["model.layers.0.self_attn.v_proj.weight"].data;
    assert_eq!(*value, Encoding::Q4_1.decode(&small().tensor("blk.0.attn_v.weight").bytes));
}

#[test]
fn the_tokenizer_is_the_one_that_was_packed() {
    let tokenizer = open(&small()).unwrap().text.tokenizer.unwrap();
    let packed = crate::tokenizer::tests::small();
    for text in ["<|start|>hello 12\n", "  1234 hell o", "é😀\u{0}"] {
        assert_eq!(tokenizer.encode(text).unwrap(), packed.encode(text).unwrap());
    }
    assert_eq!(tokenizer.vocab_size(), packed.vocab_size());
}

#[test]
fn pre_tokenizers_cut_digits_as_their_names_say() {
    let tokens = |pre: Option<&str>| {
        let mut file = small();
        file.remove("tokenizer.ggml.pre");
        if let Some(pre) = pre {
            file.set("tokenizer.ggml.pre", Meta::Text(pre.into()));
        }
        let tokenizer = open(&file).unwrap().text.tokenizer.unwrap();
        let ids = tokenizer.encode("hello 1212").unwrap();
        ids.into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tokens(Some("smollm")), ["hello", "Ġ", "1", "2", "1", "2"]);
    assert_eq!(tokens(Some("gpt-2")), ["hello", "Ġ", "12", "12"]);
    assert_eq!(tokens(Some("default")), ["hello", "Ġ", "12", "1", "2"]);
    assert_eq!(tokens(None), tokens(Some("default")));
    assert!(
        refusal(|file| file.set("tokenizer.ggml.pre", Meta::Text("viking".into()))).contains("\"viking\"")
    );
    assert!(refusal(|file| file.set("tokenizer.ggml.model", Meta::Text("bert".into()))).contains("\"bert\""));
}

#[test]
fn user_defined_tokens_are_whole_but_not_special_and_a_wanted_bos_stands_in_the_template() {
    let mut file = small();
    let (_, Meta::I32s(types)) = &mut file.metadata[15] else { panic!("token_type has moved") };
    types[258] = 4;
    file.set("tokenizer.ggml.add_bos_token", Meta::Flag(true));
    let tokenizer = open(&file).unwrap().text.tokenizer.unwrap();
    let ids = tokenizer.encode("xhe<|end|>").unwrap();
    assert_eq!(ids[1..], [258, 1]);
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "xhe");
    let json: serde_json::Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    assert_eq!(json["post_processor"]["single"][0]["SpecialToken"]["id"], "<|start|>");
}

#[test]
fn a_file_without_tokenizer_has_none() {
    let mut file = small();
    file.metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    let read = open(&file).unwrap();
    assert!(read.text.tokenizer.is_none() && read.config.eos_token_ids.is_empty());
}

#[test]
fn what_would_change_the_arithmetic_is_refused_by_name() {
    let text = |text: &str| Meta::Text(text.into());
    for (key, value) in [
        ("general.architecture", text("mamba")),
        ("llama.rope.scaling.type", text("longrope")),
        ("llama.rope.scaling.attn_factor", Meta::F32(2.0)),
        ("llama.rope.scaling.factor", Meta::F32(2.0)),
        ("llama.rope.scaling.yarn_beta_fast", Meta::F32(32.0)),
        ("llama.rope.scaling.yarn_ext_factor", Meta::F32(1.0)),
        ("llama.rope.scaling.yarn_beta_middle", Meta::F32(8.0)),
        ("llama.expert_count", Meta::U32(8)),
        ("llama.attention.value_length", Meta::U32(64)),
        ("llama.rope.dimension_count", Meta::U32(16)),
        ("llama.attention.sliding_window", Meta::U32(16)),
        ("llama.vocab_size", Meta::U32(287)),
        ("llama.block_count", Meta::Flag(true)),
        ("general.alignment", Meta::U32(24)),
    ] {
        let error = refusal(|file| file.set(key, value));
        assert!(error.contains(key) && error.contains("model.gguf"), "{error}");
    }
    for key in ["llama.block_count", "llama.context_length", "llama.attention.layer_norm_rms_epsilon"] {
        assert!(refusal(|file| file.remove(key)).contains(key));
    }
}

#[test]
fn rotary_scaling_is_read() {
    let factors = |factor: f32| Blob {
        name: "rope_freqs.weight".into(),
        shape: vec![16],
        kind: 0,
        bytes: factor.to_le_bytes().repeat(16),
    };
    let scaling = |change: &dyn Fn(&mut File)| {
        let mut file = small();
        change(&mut file);
        open(&file).unwrap().config.rope_scaling
    };
    let kind = |file: &mut File, kind: &str| {
        file.set("llama.rope.scaling.type", Meta::Text(kind.into()));
        file.set("llama.rope.scaling.factor", Meta::F32(4.0));
    };
    assert_eq!(scaling(&|file| file.tensors.push(factors(1.0))), RopeScaling::Default);
    assert_eq!(scaling(&|file| file.tensors.push(factors(8.0))), RopeScaling::Divisors(vec![8.0; 16]));
    assert_eq!(scaling(&|file| kind(file, "linear")), RopeScaling::Linear { factor: 4.0 });
    let yarn = scaling(&|file| {
        kind(file, "yarn");
        file.set("llama.rope.scaling.original_context_length", Meta::U32(32));
    });
    assert_eq!(yarn, RopeScaling::Yarn(Yarn::new(4.0, 32)));
    let yarn = scaling(&|file| {
        kind(file, "yarn");
        for (name, value) in
            [("attn_factor", 1.0), ("ext_factor", 1.0), ("beta_fast", 20.0), ("beta_slow", 0.5)]
        {
            file.set(&format!("llama.rope.scaling.yarn_{name}"), Meta::F32(value));
        }
    });
    let RopeScaling::Yarn(Yarn { beta_fast, beta_slow, .. }) = yarn else { panic!("{yarn:?}") };
    assert_eq!((beta_fast, beta_slow), (20.0, 0.5));
    for name in ["attn_factor", "ext_factor", "log_multiplier"] {
        let key = format!("llama.rope.scaling.yarn_{name}");
        let error = refusal(|file| {
            kind(file, "yarn");
            file.set(&key, Meta::F32(0.5));
        });
        assert!(error.contains(&format!("{key} is \"0.5\"")), "{error}");
    }
    let both = refusal(|file| {
        kind(file, "linear");
        file.tensors.push(factors(8.0));
    });
    assert!(both.contains("rope_freqs.weight") && both.contains("llama.rope.scaling.type"), "{both}");
    let none = refusal(|file| file.set("llama.rope.scaling.type", Meta::Text("yarn".into())));
    assert!(none.contains("llama.rope.scaling.factor is missing"), "{none}");
}

/// The small file as another architecture; its rows are where they belong.
fn as_architecture(name: &str, extra: &[(&str, usize)]) -> File {
    let mut file = small();
    for (key, _) in &mut file.metadata {
        *key = key.replace("llama.", &format!("{name}."));
    }
    file.set("general.architecture", Meta::Text(name.into()));
    for (part, width) in extra {
        let bytes = (0..*width).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect();
        file.tensors.push(Blob { name: format!("blk.0.{part}"), shape: vec![*width], kind: 0, bytes });
    }
    file
}

#[test]
fn qwen_files_have_biases_or_norms_of_heads_and_rows_in_place() {
    let biases = [("attn_q.bias", 64), ("attn_k.bias", 32), ("attn_v.bias", 32)];
    let norms = [("attn_q_norm.weight", 32), ("attn_k_norm.weight", 32)];
    let llama = open(&small()).unwrap();
    for (name, extra) in [("qwen2", &biases[..]), ("qwen3", &norms[..])] {
        let read = open(&as_architecture(name, extra)).unwrap();
        assert_eq!(read.config.family.model_type(), name);
        assert_eq!(read.config.attention_bias, name == "qwen2");
        assert_eq!(read.tensors.len(), llama.tensors.len() + extra.len());
        let part = if name == "qwen2" { "q_proj.bias" } else { "q_norm.weight" };
        let first = &read.tensors[&format!("model.layers.0.self_attn.{part}")];
        assert!(first.data.iter().enumerate().all(|(i, x)| *x == i as f32 / 8.0), "{name}");
        let queries = "model.layers.0.self_attn.q_proj.weight";
        assert_ne!(read.tensors[queries], llama.tensors[queries], "only Llama's rows are moved");
        let missing = open(&as_architecture(name, &extra[1..])).unwrap_err().to_string();
        assert!(
            missing.contains("self_attn.q_proj.bias")
                || missing.contains("attention_bias")
                || missing.contains("self_attn.q_norm.weight"),
            "{missing}"
        );
    }
}

#[test]
fn biases_of_queries_move_with_their_rows() {
    let biases = ["attn_q", "attn_k", "attn_v", "attn_output"].map(|part| format!("{part}.bias"));
    let widths = [64, 32, 32, 64];
    let extra: Vec<(&str, usize)> = biases.iter().map(String::as_str).zip(widths).collect();
    let read = open(&as_architecture("llama", &extra)).unwrap();
    let queries = &read.tensors["model.layers.0.self_attn.q_proj.bias"].data;
    let expected: Vec<f32> = (0..64)
        .map(|i| {
            let (head, row) = (i / 32 * 32, i % 32);
            (head + if row < 16 { 2 * row } else { 2 * (row - 16) + 1 }) as f32 / 8.0
        })
        .collect();
    assert_eq!(*queries, expected);
    assert_eq!(read.tensors["model.layers.0.self_attn.o_proj.bias"].data[5], 5.0 / 8.0);
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let bias = Blob { name: "blk.0.attn_k.bias".into(), shape: vec![32], kind: 0, bytes: vec![0; 128] };
    assert!(refusal(|file| file.tensors.push(bias)).contains("self_attn.k_proj.bias"));
    let unknown = Blob { name: "blk.0.attn_sink".into(), shape: vec![32], kind: 0, bytes: vec![0; 128] };
    assert!(refusal(|file| file.tensors.push(unknown)).contains("blk.0.attn_sink"));
    assert!(refusal(|file| file.tensor("blk.0.ffn_up.weight").kind = 10).contains("\"10\""));
    assert!(refusal(|file| file.tensor("blk.0.ffn_up.weight").shape = vec![64, 96]).contains("up_proj"));
    assert!(
        refusal(|file| file.tensor("blk.0.ffn_up.weight").shape = vec![6144, 1]).contains("whole blocks")
    );
    assert!(
        refusal(|file| file.tensor("blk.0.ffn_up.weight").shape = vec![usize::MAX, 96]).contains("ffn_up")
    );
    let norm = small().tensor("output_norm.weight").clone();
    assert!(refusal(|file| file.tensors.push(norm)).contains("twice"));
    assert!(refusal(|file| drop(file.tensors.remove(4))).contains("k_proj"));
    assert!(refusal(|file| file.metadata.push(("llama.block_count".into(), Meta::U32(1)))).contains("twice"));
    assert!(refusal(|file| file.version = 1).contains("\"1\""));
    assert!(refusal(|file| file.version = 3u32.swap_bytes()).contains("little-endian"));
}

/// Bytes before the tensors' own, and padding between them.
fn header_len(file: &File) -> usize {
    file.bytes().len() - file.tensors.iter().map(|tensor| tensor.bytes.len()).sum::<usize>()
}

#[test]
fn every_truncation_is_an_error() {
    let whole = small().bytes();
    let header = header_len(&small());
    for len in (0..header).step_by(7).chain((header..whole.len()).step_by(997)).chain([whole.len() - 1]) {
        assert!(open_bytes(&whole[..len]).is_err(), "{len} of {} bytes were accepted", whole.len());
    }
}

#[test]
fn absurd_counts_are_refused_at_once() {
    let whole = small().bytes();
    for at in [8, 16, 24] {
        for count in [u64::MAX, u64::MAX / 24, 1 << 40, 1 << 63] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            assert!(open_bytes(&bytes).is_err());
        }
    }
}

proptest! {
    #[test]
    fn damaged_headers_are_errors_or_finite_models_and_never_panics(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let mut bytes = small().bytes();
        let header = header_len(&small());
        for (at, byte) in hits {
            bytes[at.index(header)] = byte;
        }
        if let Ok(read) = open_bytes(&bytes) {
            prop_assert!(read.tensors.values().all(|t| t.data.iter().all(|value| value.is_finite())));
        }
    }

    #[test]
    fn arbitrary_bytes_behind_the_magic_are_errors(tail in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tail);
        prop_assert!(Container::parse(&bytes).map(|file| file.tensors.is_empty()).unwrap_or(true));
    }
}

/// Where SmolLM2-135M-Instruct lies, if it does.
fn smollm2() -> Option<PathBuf> {
    let named = std::env::var_os("RMR1_SMOLLM2").map(PathBuf::from);
    let path = named.or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME")?);
        Some(home.join(".cache/rm-r1/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"))
    })?;
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no SmolLM2 at \"{}\"; set RMR1_SMOLLM2 to the GGUF file", path.display());
    None
}

#[test]
fn smollm2_survives_export_and_splits_digits() {
    let Some(path) = smollm2() else { return };
    let read = load_any(&path).unwrap();
    let shape = &read.config;
    assert_eq!((shape.num_layers, shape.hidden_size, shape.vocab_size), (30, 576, 49152));
    assert_eq!((shape.rope_theta, shape.rms_norm_eps, shape.tie_word_embeddings), (1e5, 1e-5, true));
    let tokenizer = read.text.tokenizer.as_ref().unwrap();
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/smollm2_reference.json");
    let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(reference).unwrap()).unwrap();
    let ids: Vec<u32> = serde_json::from_value(reference["ids"].clone()).unwrap();
    let text = reference["text"].as_str().unwrap();
    assert_eq!(tokenizer.encode(text).unwrap(), ids);
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
    assert_eq!(tokenizer.encode("<|im_start|>user\n").unwrap()[0], 1);
    assert_eq!(tokenizer.vocab_size(), 49152);

    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &read.config, &refs(&read.tensors), &read.text, Dtype::F32).unwrap();
    let again = load_any(dir.path()).unwrap();
    assert_eq!(again.config, read.config);
    assert_eq!(again.text.chat_template, read.text.chat_template);
    let bits = |tensor: &Tensor| tensor.data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for (name, tensor) in &read.tensors {
        assert!(bits(tensor) == bits(&again.tensors[name]), "{name} changed");
    }
    let text = "Answer 132: 12·11 = 132, naïve \u{1f600}\r\n\t<|im_end|>";
    assert_eq!(again.text.tokenizer.unwrap().encode(text).unwrap(), tokenizer.encode(text).unwrap());
}
