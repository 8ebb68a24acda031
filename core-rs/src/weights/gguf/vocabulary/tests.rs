//! Vocabularies and token ids of `tests/parity/make_gguf_tokenizers.py`.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::weights::gguf::container::{Container, Value as Stored};

#[derive(Deserialize)]
struct Cases {
    texts: Vec<String>,
    byte_level: ByteLevel,
    sentence_piece: BTreeMap<String, Vec<Vec<u32>>>,
}

#[derive(Deserialize)]
struct ByteLevel {
    ids: BTreeMap<String, Vec<Vec<u32>>>,
    decoded: Vec<Decoded>,
}

#[derive(Deserialize)]
struct Decoded {
    ids: Vec<u32>,
    text: String,
    whole: String,
}

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gguf-tokenizers");
    std::fs::read(folder.join(name)).unwrap()
}

fn cases() -> Cases {
    serde_json::from_slice(&read("cases.json")).unwrap()
}

fn assets<'a>(file: &'a [u8], change: impl FnOnce(&mut Metadata<'a>)) -> Result<TextAssets> {
    let mut metadata = Container::parse(file)?.metadata;
    change(&mut metadata);
    text_assets(&metadata, &SpecialIds::read(&metadata)?)
}

fn opened<'a>(file: &'a [u8], change: impl FnOnce(&mut Metadata<'a>)) -> Tokenizer {
    assets(file, change).unwrap().tokenizer.unwrap()
}

fn check(tokenizer: &Tokenizer, name: &str, texts: &[String], ids: &[Vec<u32>]) {
    assert_eq!(texts.len(), ids.len());
    let again = Tokenizer::from_json(tokenizer.to_json().as_bytes()).unwrap();
    for (text, ids) in texts.iter().zip(ids) {
        assert_eq!(tokenizer.encode(text).unwrap(), *ids, "{name}: {text:?}");
        assert_eq!(again.encode(text).unwrap(), *ids, "{name}, exported: {text:?}");
    }
}

#[test]
fn every_way_of_cutting_gives_the_ids_of_its_oracle() {
    let Cases { texts, byte_level, .. } = cases();
    let file = read("byte_level.gguf");
    assert_eq!(byte_level.ids.len(), 9);
    for (pre, ids) in &byte_level.ids {
        let tokenizer = opened(&file, |metadata| metadata.set("tokenizer.ggml.pre", Stored::Text(pre)));
        check(&tokenizer, pre, &texts, ids);
        for text in texts.iter().filter(|text| !text.contains("e\u{301}") || !pre.starts_with("qwen")) {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), *text, "{pre}");
        }
    }
}

#[test]
fn characters_cut_in_half_decode_as_the_oracle_says() {
    let tokenizer = opened(&read("byte_level.gguf"), |_| {});
    let decoded = cases().byte_level.decoded;
    assert!(decoded.iter().any(|case| case.whole.contains('\u{fffd}')));
    for Decoded { ids, text, whole } in decoded {
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), whole);
    }
}

#[test]
fn sentence_pieces_are_joined_by_score_and_fall_back_to_bytes() {
    let Cases { texts, sentence_piece, .. } = cases();
    let file = read("sentence_piece.gguf");
    check(&opened(&file, |_| {}), "with a space", &texts, &sentence_piece["with_space"]);
    let bare = opened(&file, |metadata| {
        metadata.set("tokenizer.ggml.add_space_prefix", Stored::Flag(false));
    });
    check(&bare, "bare", &texts, &sentence_piece["bare"]);
    for text in &texts {
        assert_eq!(bare.decode(&bare.encode(text).unwrap(), true).unwrap(), *text);
    }
    // A character of three bytes that no piece holds, cut after its first two.
    let ids = bare.encode("\u{2713}").unwrap();
    assert_eq!(ids.len(), 3);
    assert_eq!(bare.decode(&ids[..2], true).unwrap(), "\u{fffd}\u{fffd}");
}

#[test]
fn special_tokens_end_texts_and_user_defined_ones_are_read() {
    let file = read("byte_level.gguf");
    let metadata = Container::parse(&file).unwrap().metadata;
    let special = SpecialIds::read(&metadata).unwrap();
    let tokenizer = opened(&file, |_| {});
    let id = |token: &str| tokenizer.token_to_id(token).unwrap();
    assert_eq!(special.eos, [id("<|im_end|>"), id("<|endoftext|>")]);
    assert_eq!((special.bos, special.pad), (Some(id("<|endoftext|>")), Some(id("<|endoftext|>"))));
    let ids = tokenizer.encode("<|im_start|><think>x</think><|im_end|>").unwrap();
    assert_eq!(ids.len(), 5);
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "<think>x</think>");

    let mut metadata = metadata;
    metadata.set(ENDS[0], Stored::Integer(7));
    metadata.set(ENDS[1], Stored::Integer(8));
    assert_eq!(SpecialIds::read(&metadata).unwrap().eos[1..], [7, 8, id("<|endoftext|>")]);
}

#[test]
fn named_templates_are_read() {
    let file = read("byte_level.gguf");
    let text = assets(&file, |metadata| {
        metadata.set("tokenizer.chat_template", Stored::Text("D"));
        metadata.set("tokenizer.chat_template.tool_use", Stored::Text("T"));
    });
    let text = text.unwrap();
    assert_eq!(text.chat_template.as_deref(), Some("D"));
    assert_eq!(text.named_templates, BTreeMap::from([("tool_use".to_owned(), "T".to_owned())]));
}

#[test]
fn a_bos_token_stands_in_the_template_where_the_kind_of_tokenizer_has_one() {
    let begins = |file: &[u8], pre: &'static str, flag: Option<bool>| {
        let tokenizer = opened(file, |metadata| {
            metadata.set("tokenizer.ggml.pre", Stored::Text(pre));
            metadata.remove("tokenizer.ggml.add_bos_token");
            if let Some(flag) = flag {
                metadata.set("tokenizer.ggml.add_bos_token", Stored::Flag(flag));
            }
        });
        let json: Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
        !json["post_processor"]["single"][0]["SpecialToken"].is_null()
    };
    let (byte_level, pieces) = (read("byte_level.gguf"), read("sentence_piece.gguf"));
    assert!(begins(&byte_level, "llama-bpe", None) && !begins(&byte_level, "llama-bpe", Some(false)));
    assert!(!begins(&byte_level, "qwen2", None) && begins(&byte_level, "qwen2", Some(true)));
    assert!(begins(&pieces, "", None) && !begins(&pieces, "", Some(false)));
}

#[test]
fn pieces_that_do_not_fit_are_refused_by_name() {
    let file = read("sentence_piece.gguf");
    let refusal = |change: &dyn Fn(&mut Metadata<'static>)| {
        let file: &'static [u8] = Box::leak(file.clone().into_boxed_slice());
        assets(file, change).unwrap_err()
    };
    let count = Container::parse(&file).unwrap().metadata.texts(TOKENS).unwrap().unwrap().len();
    assert!(
        refusal(&|metadata| metadata.set("tokenizer.ggml.model", Stored::Text("bert"))).contains("\"bert\"")
    );
    let scores = "tokenizer.ggml.scores";
    assert!(refusal(&|metadata| metadata.remove(scores)).contains(scores));
    assert!(refusal(&|metadata| metadata.set(scores, Stored::Floats(vec![0.0]))).contains("1 entries"));
    let mut nan = vec![0.0; count];
    nan[5] = f32::NAN;
    assert!(refusal(&|metadata| metadata.set(scores, Stored::Floats(nan.clone()))).contains("\"NaN\" at 5"));
    let few = || Stored::Texts(vec!["<0x00>"]);
    let one = |metadata: &mut Metadata| {
        metadata.set(TOKENS, few());
        metadata.set(TOKEN_TYPES, Stored::Integers(vec![token_type::BYTE]));
        metadata.set(scores, Stored::Floats(vec![0.0]));
    };
    assert!(refusal(&one).contains("\"<0x01>\""));
    let runs: Vec<String> = (1..200).map(|len| "a".repeat(len)).collect();
    let refused = refusal(&|metadata| {
        metadata.set(TOKENS, Stored::Texts(runs.iter().map(|run| leak(run)).collect()));
        metadata.set(TOKEN_TYPES, Stored::Integers(vec![token_type::NORMAL; runs.len()]));
        metadata.set(scores, Stored::Floats(vec![0.0; runs.len()]));
    });
    assert!(refused.contains("merges"), "{refused}");
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[test]
fn long_runs_take_no_long() {
    let byte_level = opened(&read("byte_level.gguf"), |_| {});
    let pieces = opened(&read("sentence_piece.gguf"), |_| {});
    for text in [" ".repeat(100_000) + "x", "a".repeat(100_000), "\n ".repeat(50_000), "'".repeat(100_000)] {
        let start = std::time::Instant::now();
        for tokenizer in [&byte_level, &pieces] {
            let ids = tokenizer.encode(&text).unwrap();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }
        assert!(start.elapsed().as_secs() < 20, "{:?} for {:?}…", start.elapsed(), &text[..4]);
    }
}

proptest! {
    #[test]
    fn any_text_survives_both_vocabularies(text in "\\PC*|[ \\n\\t0-9a-z]{0,40}") {
        let byte_level = opened(&read("byte_level.gguf"), |metadata| {
            metadata.set("tokenizer.ggml.pre", Stored::Text("llama-bpe"));
        });
        let pieces = opened(&read("sentence_piece.gguf"), |metadata| {
            metadata.set("tokenizer.ggml.add_space_prefix", Stored::Flag(false));
        });
        for tokenizer in [byte_level, pieces] {
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap(), true).unwrap(), text.clone());
        }
    }
}
