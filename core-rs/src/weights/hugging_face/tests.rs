use proptest::prelude::*;

use super::*;
use crate::config::tests::small;
use crate::tokenizer;
use crate::weights::{Tensor, layout::tests::tensors, load as load_any};

fn refs(tensors: &BTreeMap<String, Tensor>) -> Vec<TensorRef<'_>> {
    tensors
        .iter()
        .map(|(name, tensor)| TensorRef::new(name.clone(), tensor.shape.clone(), &tensor.data))
        .collect()
}

fn config() -> ModelConfig {
    ModelConfig { vocab_size: 300, eos_token_ids: vec![1, 7], ..small() }
}

fn text() -> TextAssets {
    TextAssets {
        tokenizer: Some(tokenizer::tests::small()),
        chat_template: Some("{{ messages[0]['content'] }}\n".into()),
        named_templates: BTreeMap::from([("tool_use".into(), "{{ tools }}".into())]),
        bos_token: Some("<|start|>".into()),
        eos_token: Some("<|end|>".into()),
        pad_token: None,
    }
}

fn saved(score: bool) -> (tempfile::TempDir, BTreeMap<String, Tensor>) {
    let dir = tempfile::tempdir().unwrap();
    let tensors = tensors(&config(), score);
    save(dir.path(), &config(), &refs(&tensors), &text(), Dtype::F32).unwrap();
    (dir, tensors)
}

fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.join(name);
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

fn refusal(dir: &Path) -> String {
    load_any(dir).unwrap_err().to_string()
}

/// Splits the weights into two shards with an index.
fn shard(dir: &Path, tensors: &BTreeMap<String, Tensor>) {
    std::fs::remove_file(dir.join(WEIGHTS)).unwrap();
    let all = refs(tensors);
    let (left, right) = all.split_at(all.len() / 3);
    let mut map = serde_json::Map::new();
    for (number, part) in [left, right].into_iter().enumerate() {
        let file = format!("model-0000{}-of-00002.safetensors", number + 1);
        safetensors::write(&dir.join(&file), part, &BTreeMap::new(), Dtype::F32).unwrap();
        map.extend(part.iter().map(|tensor| (tensor.name.clone(), json!(file))));
    }
    std::fs::write(dir.join(INDEX), json!({ "metadata": {}, "weight_map": map }).to_string()).unwrap();
}

#[test]
fn saving_and_loading_gives_the_same_model_in_every_dtype() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for score in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("new/model");
            let tensors = tensors(&config(), score);
            save(&path, &config(), &refs(&tensors), &text(), dtype).unwrap();
            let read = load_any(&path).unwrap();
            assert_eq!((&read.config, &read.tensors), (&config(), &tensors));
            assert_eq!(read.text.chat_template, text().chat_template);
            assert_eq!(read.text.named_templates, text().named_templates);
            assert_eq!((read.text.bos_token, read.text.pad_token), (text().bos_token, None));
            assert_eq!(read.text.tokenizer.unwrap().to_json(), text().tokenizer.unwrap().to_json());
        }
    }
}

#[test]
fn what_transformers_wrote_is_read() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tiny-models");
    for (name, score) in [
        ("gqa_untied_f16", false),
        ("mha_tied_f32", false),
        ("score_f32", true),
        ("wide_heads_bf16_shards", false),
    ] {
        let read = load_any(&Path::new(fixtures).join(name)).unwrap();
        assert_eq!(read.tensors.contains_key(SCORE), score, "{name}");
    }
}

#[test]
fn a_model_without_text_has_no_tokenizer_files() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &config(), &refs(&tensors(&config(), false)), &TextAssets::default(), Dtype::F32)
        .unwrap();
    assert!(!dir.path().join(TOKENIZER).exists() && !dir.path().join(TOKENIZER_CONFIG).exists());
    assert!(load_any(dir.path()).unwrap().text.tokenizer.is_none());
}

#[test]
fn shards_hold_the_same_model_and_must_agree_with_their_index() {
    let (dir, tensors) = saved(false);
    shard(dir.path(), &tensors);
    assert_eq!(load_any(dir.path()).unwrap().tensors, tensors);

    let norm = "model.norm.weight";
    let first = "model-00001-of-00002.safetensors";
    edit(dir.path(), INDEX, |index| index["weight_map"][norm] = json!(first));
    assert!(refusal(dir.path()).contains(norm));
    edit(dir.path(), INDEX, |index| index["weight_map"][norm] = json!("../model.safetensors"));
    assert!(refusal(dir.path()).contains("same folder"));
    edit(dir.path(), INDEX, |index| index["weight_map"] = json!({}));
    assert!(refusal(dir.path()).contains("empty"));
    std::fs::write(dir.path().join(WEIGHTS), b"").unwrap();
    assert!(refusal(dir.path()).contains("both"));
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let (dir, mut tensors) = saved(false);
    shard(dir.path(), &tensors);
    let norm = "model.norm.weight";
    tensors.retain(|name, _| name == norm || name == LM_HEAD);
    let first = dir.path().join("model-00001-of-00002.safetensors");
    safetensors::write(&first, &refs(&tensors), &BTreeMap::new(), Dtype::F32).unwrap();
    assert!(refusal(dir.path()).contains(norm));
}

#[test]
fn a_tied_head_may_repeat_the_embedding_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let tied = ModelConfig { tie_word_embeddings: true, ..config() };
    let whole = tensors(&tied, false);
    save(dir.path(), &tied, &refs(&whole), &text(), Dtype::F32).unwrap();
    let mut doubled = whole.clone();
    doubled.insert(LM_HEAD.into(), whole[EMBEDDING].clone());
    safetensors::write(&dir.path().join(WEIGHTS), &refs(&doubled), &BTreeMap::new(), Dtype::F32).unwrap();
    assert_eq!(load_any(dir.path()).unwrap().tensors, whole);
    doubled.get_mut(LM_HEAD).unwrap().data[3] += 1.0;
    safetensors::write(&dir.path().join(WEIGHTS), &refs(&doubled), &BTreeMap::new(), Dtype::F32).unwrap();
    assert!(refusal(dir.path()).contains("tie_word_embeddings"));
}

#[test]
fn rotary_tables_are_passed_over_and_other_strangers_are_not() {
    let (dir, mut tensors) = saved(false);
    let table = Tensor { shape: vec![4], data: vec![1.0; 4] };
    tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), table.clone());
    safetensors::write(&dir.path().join(WEIGHTS), &refs(&tensors), &BTreeMap::new(), Dtype::F32).unwrap();
    assert_eq!(load_any(dir.path()).unwrap().tensors.len(), tensors.len() - 1);
    tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), table);
    safetensors::write(&dir.path().join(WEIGHTS), &refs(&tensors), &BTreeMap::new(), Dtype::F32).unwrap();
    assert!(refusal(dir.path()).contains("q_proj.bias"));
}

#[test]
fn templates_and_special_tokens_are_found_wherever_they_stand() {
    let (dir, _) = saved(false);
    edit(dir.path(), TOKENIZER_CONFIG, |settings| {
        settings["chat_template"] =
            json!([{ "name": "tool", "template": "t" }, { "name": "default", "template": "d" }]);
        settings["bos_token"] = json!({ "content": "<|end|>", "lstrip": false });
        settings.as_object_mut().unwrap().shift_remove("eos_token");
    });
    let text = load_any(dir.path()).unwrap().text;
    assert_eq!(text.chat_template.as_deref(), Some("d"));
    assert_eq!((text.bos_token.as_deref(), text.eos_token.as_deref()), (Some("<|end|>"), Some("<|end|>")));
    std::fs::write(dir.path().join(templates::FILE), "file").unwrap();
    assert_eq!(load_any(dir.path()).unwrap().text.chat_template.as_deref(), Some("file"));
    std::fs::remove_file(dir.path().join(templates::FILE)).unwrap();
    edit(dir.path(), TOKENIZER_CONFIG, |settings| settings["chat_template"] = json!([]));
    assert!(refusal(dir.path()).contains("\"default\""));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let (dir, _) = saved(false);
    edit(dir.path(), TOKENIZER, |json| {
        json["added_tokens"][0] = json!({ "id": 264, "content": "<extra>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true });
    });
    assert!(load_any(dir.path()).is_ok());
    edit(dir.path(), CONFIG, |json| json["vocab_size"] = json!(264));
    assert!(refusal(dir.path()).contains("265 ids"));
}

#[test]
fn weights_that_are_not_finite_are_named_on_both_ways() {
    let (dir, mut tensors) = saved(false);
    let norm = "model.norm.weight";
    tensors.get_mut(norm).unwrap().data[5] = 1e5;
    let error = save(dir.path(), &config(), &refs(&tensors), &text(), Dtype::F16).unwrap_err().to_string();
    assert!(error.contains(norm) && error.contains("\"100000\" at 5"), "{error}");
    tensors.get_mut(norm).unwrap().data[5] = f32::NAN;
    safetensors::write(&dir.path().join(WEIGHTS), &refs(&tensors), &BTreeMap::new(), Dtype::F32).unwrap();
    assert!(refusal(dir.path()).contains(norm));
}

#[test]
fn saving_refuses_what_it_cannot_save_and_leaves_the_folder_alone() {
    let (dir, mut tensors) = saved(false);
    let before = std::fs::read(dir.path().join(WEIGHTS)).unwrap();
    let bare = TextAssets::default();
    let error = save(dir.path(), &config(), &refs(&tensors), &bare, Dtype::BF16).unwrap_err().to_string();
    assert!(error.contains(TOKENIZER) && error.contains("another model"), "{error}");
    tensors.remove("model.norm.weight");
    let error = save(dir.path(), &config(), &refs(&tensors), &text(), Dtype::F32).unwrap_err().to_string();
    assert!(error.contains("model.norm.weight"), "{error}");
    assert_eq!(std::fs::read(dir.path().join(WEIGHTS)).unwrap(), before);
}

#[test]
fn a_folder_without_a_model_says_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(dir.path()).contains("config.json"));
    let (dir, _) = saved(false);
    std::fs::remove_file(dir.path().join(WEIGHTS)).unwrap();
    assert!(refusal(dir.path()).contains(WEIGHTS));
    std::fs::write(dir.path().join(WEIGHTS), b"").unwrap();
    assert!(refusal(dir.path()).contains("empty"));
    assert!(refusal(Path::new("no/such/folder")).contains("no/such/folder"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_files_never_panic(
        file in prop::sample::select(vec![CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG, WEIGHTS]),
        at in any::<prop::sample::Index>(), flip in 0u8..8
    ) {
        let (dir, _) = saved(false);
        let path = dir.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let at = at.index(whole.len() - 1);
        std::fs::write(&path, &whole[..at]).unwrap();
        prop_assert!(load_any(dir.path()).is_err());
        let mut flipped = whole;
        flipped[at] ^= 1 << flip;
        std::fs::write(&path, &flipped).unwrap();
        if let Ok(read) = load_any(dir.path()) {
            prop_assert!(read.tensors.values().all(|tensor| tensor.data.iter().all(|value| value.is_finite())));
        }
    }
}
