//! Text to token ids and back: a byte-pair encoding read from a Hugging Face `tokenizer.json`.

mod parts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Merges, Vocab};

use crate::{Error, Result};
#[cfg(test)]
pub(crate) use parts::byte_letters;
pub(crate) use parts::merge_of;
use parts::{absent_bytes, added_tokens, check_merges, check_settings, size, take_tables};

/// A byte-pair-encoding tokenizer. Cloning shares the tables.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    tokenizer: tokenizers::Tokenizer,
    vocab_size: usize,
    /// Bytes that a byte-level vocabulary has no token for. The `tokenizers` crate drops them without a word.
    absent_bytes: Vec<u8>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.inner.vocab_size).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads the bytes of a `tokenizer.json`. Truncation and padding settings in it are call defaults of
    /// whoever wrote it and are not taken over.
    ///
    /// # Errors
    /// [`Error::Input`] when the bytes are not a tokenizer, when its model is not BPE, when it has BPE dropout (ids
    /// would be random), when a merge or an added token does not fit the vocabulary, when two tokens share an id, or when
    /// its replacements could make a text longer without bound.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let value = serde_json::from_slice(bytes)
            .map_err(|error| Error::Input(format!("The tokenizer is not JSON: {error}")))?;
        Self::from_value(value)
    }

    /// [`Tokenizer::from_json`] on parsed JSON.
    fn from_value(mut settings: Value) -> Result<Self> {
        check_settings(&settings).map_err(Error::Input)?;
        let (vocab, merges) = take_tables(&mut settings).map_err(Error::Input)?;
        Self::build(settings, vocab, merges)
    }

    /// Builds a tokenizer from its vocabulary and merges and from the JSON of all else, in which they are empty.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub(crate) fn build(mut settings: Value, vocab: Vocab, merges: Merges) -> Result<Self> {
        check_merges(&vocab, &merges).map_err(Error::Input)?;
        let added = added_tokens(settings.get("added_tokens")).map_err(Error::Input)?;
        let size = size(&vocab, &added).map_err(Error::Input)?;
        let absent_bytes = absent_bytes(&settings, &vocab);
        let tokens = settings["added_tokens"].take();
        settings["added_tokens"] = json!([]);
        // Reading tables from JSON takes several times as long as handing them over.
        let tokenizer = guarded("be read", || -> tokenizers::Result<_> {
            let mut tokenizer: tokenizers::Tokenizer = serde_json::from_value(settings)?;
            let ModelWrapper::BPE(model) = tokenizer.get_model() else {
                return Err("Its model is not BPE".into());
            };
            let model = with_tables(model, vocab, merges)?;
            tokenizer.with_model(model);
            if !tokens.is_null() {
                tokenizer.add_tokens(serde_json::from_value::<Vec<tokenizers::AddedToken>>(tokens)?)?;
            }
            tokenizer.with_truncation(None)?;
            tokenizer.with_padding(None);
            Ok(tokenizer)
        })?;
        for (content, id) in &added {
            let given = tokenizer.token_to_id(content);
            if given != Some(*id) {
                return Err(Error::Input(format!(
                    "Added token \"{content}\" has id {id} in the tokenizer, but its place in the vocabulary is {given:?}"
                )));
            }
        }
        Ok(Self { inner: Arc::new(Inner { tokenizer, vocab_size: size, absent_bytes }) })
    }

    /// Token ids of `text`. Special tokens written in the text are recognised; none are added.
    ///
    /// # Errors
    /// [`Error::Input`] when the text holds a byte that the vocabulary has no token for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        if !self.inner.absent_bytes.is_empty()
            && let Some(at) = text.bytes().position(|byte| self.inner.absent_bytes.contains(&byte))
        {
            return Err(Error::Input(format!(
                "The tokenizer has no token for byte \"0x{:02x}\", found at byte {at} of the text",
                text.as_bytes()[at]
            )));
        }
        let encoding = guarded("encode this text", || self.inner.tokenizer.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`; special tokens are written out only with `keep_special`. Bytes that do not form UTF-8, such as
    /// a character cut in half, come out as U+FFFD.
    ///
    /// # Errors
    /// [`Error::Input`] for an id that has no token.
    pub fn decode(&self, ids: &[u32], keep_special: bool) -> Result<String> {
        if let Some(id) = ids.iter().find(|id| self.inner.tokenizer.id_to_token(**id).is_none()) {
            return Err(Error::Input(format!(
                "Token id \"{id}\" is not in the tokenizer, which has {} ids",
                self.inner.vocab_size
            )));
        }
        guarded("decode these tokens", || self.inner.tokenizer.decode(ids, !keep_special))
    }

    /// The largest id plus one: the rows that an embedding must have at least.
    pub fn vocab_size(&self) -> usize {
        self.inner.vocab_size
    }

    /// The tokenizer as a `tokenizer.json`, which `PreTrainedTokenizerFast` of transformers opens.
    pub fn to_json(&self) -> String {
        self.inner.tokenizer.to_string(false).expect("a tokenizer that was read from JSON serialises to JSON")
    }

    /// The id of one token as the vocabulary writes it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.tokenizer.token_to_id(token)
    }

    /// The token of an id as the vocabulary writes it (byte-level tokens in their printable spelling).
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.tokenizer.id_to_token(id)
    }
}

/// Runs the `tokenizers` crate, which panics on some settings that it accepts (a `FixedLength` of 0, a `Strip` longer
/// than a token, a damaged `Precompiled` map).
fn guarded<T, E: std::fmt::Display>(
    what: &str,
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Error::Input(format!("The tokenizer cannot {what}: {error}"))),
        Err(_) => Err(Error::Input(format!("The tokenizer cannot {what}: its settings break its library"))),
    }
}

/// A model with other tables.
fn with_tables(model: &BPE, vocab: Vocab, merges: Merges) -> tokenizers::Result<BPE> {
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .fuse_unk(model.fuse_unk)
        .byte_fallback(model.byte_fallback)
        .ignore_merges(model.ignore_merges);
    if let Some(token) = &model.unk_token {
        builder = builder.unk_token(token.clone());
    }
    if let Some(rate) = model.dropout {
        builder = builder.dropout(rate);
    }
    builder.build()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A byte-level tokenizer with two special tokens, every byte, and a few merges.
    pub(crate) fn small_json() -> Value {
        let mut vocab = serde_json::Map::new();
        for token in ["<|start|>", "<|end|>"] {
            vocab.insert(token.into(), vocab.len().into());
        }
        for (_, letter) in byte_letters() {
            vocab.insert(letter.to_string(), vocab.len().into());
        }
        let merges = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["1", "2"], ["Ġ", "1"]];
        for [left, right] in merges {
            vocab.insert(format!("{left}{right}"), vocab.len().into());
        }
        let special = |id: u32, content: &str| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(0, "<|start|>"), special(1, "<|end|>")],
            "normalizer": null,
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
                { "type": "Digits", "individual_digits": true },
                { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true } ] },
            "post_processor": null,
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": merges },
        })
    }

    pub(crate) fn small() -> Tokenizer {
        Tokenizer::from_value(small_json()).unwrap()
    }

    fn refusal(value: Value) -> String {
        Tokenizer::from_value(value).unwrap_err().to_string()
    }

    #[test]
    fn encodes_special_tokens_and_merges_and_splits_digits() {
        let tokenizer = small();
        let ids = tokenizer.encode("<|start|>hello 12").unwrap();
        let tokens: Vec<_> = ids.iter().map(|id| tokenizer.id_to_token(*id).unwrap()).collect();
        assert_eq!(tokens, ["<|start|>", "hello", "Ġ", "1", "2"]);
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), "<|start|>hello 12");
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), "hello 12");
        assert_eq!(tokenizer.token_to_id("<|end|>"), Some(1));
        assert_eq!(tokenizer.vocab_size(), 2 + 256 + 6);
    }

    #[test]
    fn an_unknown_id_is_an_error() {
        let error = small().decode(&[3, 4096], true).unwrap_err().to_string();
        assert!(error.contains("\"4096\""), "{error}");
    }

    #[test]
    fn a_byte_without_a_token_is_an_error() {
        let mut value = small_json();
        let letter = byte_letters().nth(4).unwrap().1.to_string();
        value["model"]["vocab"].as_object_mut().unwrap().shift_remove(&letter).unwrap();
        let error = Tokenizer::from_value(value).unwrap().encode("a\u{4}").unwrap_err().to_string();
        assert!(error.contains("0x04") && error.contains("at byte 1"), "{error}");
    }

    #[test]
    fn truncation_and_padding_settings_are_not_taken_over() {
        let mut value = small_json();
        value["truncation"] =
            json!({ "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0 });
        value["padding"] = json!({ "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|end|>" });
        assert_eq!(Tokenizer::from_value(value).unwrap().encode("abcdef").unwrap().len(), 6);
    }

    #[test]
    fn settings_that_break_the_library_are_errors() {
        let tokenizer = |part: &str, setting: Value| {
            let mut value = small_json();
            value[part] = setting;
            Tokenizer::from_value(value).unwrap()
        };
        let cut = tokenizer("pre_tokenizer", json!({ "type": "FixedLength", "length": 0 }));
        assert!(cut.encode("hello").unwrap_err().to_string().contains("cannot encode this text"));
        let strip = tokenizer("decoder", json!({ "type": "Strip", "content": "h", "start": 0, "stop": 9 }));
        let letter = strip.token_to_id("h").unwrap();
        assert!(
            strip.decode(&[letter], true).unwrap_err().to_string().contains("cannot decode these tokens")
        );
    }

    #[test]
    fn replacements_may_not_multiply() {
        let double = json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "aa" });
        let many = |count: usize| {
            let mut value = small_json();
            value["normalizer"] = json!({ "type": "Sequence", "normalizers": vec![double.clone(); count] });
            value
        };
        assert!(Tokenizer::from_value(many(6)).is_ok());
        assert!(refusal(many(7)).contains("\"128\" times longer"));
        assert!(refusal(many(70)).contains("times longer"));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let mut value = small_json();
        value["model"]["merges"][0] = json!(["q", "zz"]);
        assert!(refusal(value).contains("\"zz\" is not in the vocabulary"));
        let mut value = small_json();
        value["added_tokens"][1]["id"] = json!(9);
        assert!(refusal(value).contains("\"<|end|>\" has id 9"));
        let mut value = small_json();
        value["model"]["vocab"]["<|end|>"] = json!(0);
        assert!(refusal(value).contains("another token has too"));
        let mut value = small_json();
        value["model"]["vocab"]["<|end|>"] = json!(u32::MAX);
        assert!(refusal(value).contains("4294967295"));
        let mut value = small_json();
        value["model"]["dropout"] = json!(0.1);
        assert!(refusal(value).contains("dropout"));
        let mut value = small_json();
        value["model"]["type"] = json!("Unigram");
        assert!(refusal(value).contains("\"Unigram\""));
        assert!(Tokenizer::from_json(b"{").unwrap_err().to_string().contains("not JSON"));
    }

    proptest! {
        #[test]
        fn any_text_survives_the_round_trip(text in "\\PC*|[ \\n\\t0-9a-z]{0,40}") {
            let tokenizer = small();
            let again = Tokenizer::from_json(tokenizer.to_json().as_bytes()).unwrap();
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(&ids, &again.encode(&text).unwrap());
            prop_assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }

        #[test]
        fn damaged_json_is_an_error_or_a_tokenizer_and_never_a_panic(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
        ) {
            let mut bytes = small_json().to_string().into_bytes();
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
                prop_assert!(Tokenizer::from_json(&bytes).is_err());
            } else {
                bytes[at] = byte;
                if let Ok(tokenizer) = Tokenizer::from_json(&bytes) {
                    if let Ok(ids) = tokenizer.encode("<|start|>hello 12\u{4}") {
                        tokenizer.decode(&ids, true).unwrap();
                    }
                    prop_assert!(Tokenizer::from_json(tokenizer.to_json().as_bytes()).is_ok());
                }
            }
        }
    }
}
