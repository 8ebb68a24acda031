//! Stop strings, found as tokens come without decoding the whole text for each.

use crate::Result;
use crate::tokenizer::Tokenizer;

/// What decoders write for bytes that do not form UTF-8, such as the first of a character whose others are to come.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Where the text of a rollout stands.
///
/// Text is settled once it ends with a whole character: what comes later does not change it. Only tokens behind it
/// are decoded, after those settled last, because some decoders treat the first token of a text in a way of its own.
#[derive(Debug, Default)]
pub struct StopSearch {
    /// First of the tokens that were settled last.
    context_start: usize,
    /// Tokens that are settled.
    settled: usize,
    /// Text of the tokens from `context_start` to `settled`.
    context: String,
    /// The end of the settled text: as much as a stop string that is not yet whole may have of it.
    tail: String,
}

impl StopSearch {
    /// Looks at the tokens so far, one more than the last time. Gives the text before the first stop string in it, if
    /// there is one: what decoding and searching all of it would give.
    pub fn find(
        &mut self,
        tokenizer: &Tokenizer,
        tokens: &[u32],
        stops: &[String],
    ) -> Result<Option<String>> {
        if stops.is_empty() {
            return Ok(None);
        }
        let window = tokenizer.decode(&tokens[self.context_start..], false)?;
        let fresh = window.strip_prefix(&self.context);
        // A replacement may be taken back by the next token, so a stop string that holds one is sought the long way.
        let Some(fresh) = fresh.filter(|_| !stops.iter().any(|s| s.contains(REPLACEMENT))) else {
            return cut(tokenizer, tokens, stops);
        };
        self.tail.push_str(fresh);
        if stops.iter().any(|s| self.tail.contains(s.as_str()))
            && let Some(text) = cut(tokenizer, tokens, stops)?
        {
            return Ok(Some(text));
        }
        if fresh.is_empty() || fresh.ends_with(REPLACEMENT) {
            self.tail.truncate(self.tail.len() - fresh.len());
            return Ok(None);
        }
        self.context_start = std::mem::replace(&mut self.settled, tokens.len());
        self.context = tokenizer.decode(&tokens[self.context_start..], false)?;
        let longest = stops.iter().map(String::len).max().unwrap_or(0);
        let mut drop = (self.tail.len() + 1).saturating_sub(longest);
        while !self.tail.is_char_boundary(drop) {
            drop -= 1;
        }
        self.tail.drain(..drop);
        Ok(None)
    }
}

/// The whole text before the first stop string in it.
fn cut(tokenizer: &Tokenizer, tokens: &[u32], stops: &[String]) -> Result<Option<String>> {
    let mut text = tokenizer.decode(tokens, false)?;
    let at = stops.iter().filter_map(|s| text.find(s)).min();
    Ok(at.map(|at| {
        text.truncate(at);
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::tests::small;
    use proptest::prelude::*;
    use serde_json::json;

    /// A tokenizer in the manner of SentencePiece: words begin with ▁, what has no token is spelled in bytes, and the
    /// first space of a text is left out.
    fn byte_fallback() -> Tokenizer {
        let mut vocab = serde_json::Map::new();
        let pieces = ["<unk>", "<s>", "▁", "▁a", "b", "ab", "▁ab", "é", "€", "\n"];
        let bytes = (0..=255).map(|b| format!("<0x{b:02X}>"));
        for piece in pieces.iter().map(|s| s.to_string()).chain(bytes) {
            vocab.insert(piece, vocab.len().into());
        }
        let special = json!({ "id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true });
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": { "type": "Sequence", "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                { "type": "ByteFallback" }, { "type": "Fuse" },
                { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] },
            "model": { "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": vocab, "merges": [] },
        });
        Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
    }

    /// Asserts that each step finds what decoding everything finds; gives whether the text was stopped.
    fn compare(tokenizer: &Tokenizer, tokens: &[u32], stops: &[String]) -> bool {
        let mut search = StopSearch::default();
        for n in 1..=tokens.len() {
            let found = search.find(tokenizer, &tokens[..n], stops).unwrap();
            assert_eq!(found, cut(tokenizer, &tokens[..n], stops).unwrap(), "{:?}, {stops:?}", &tokens[..n]);
            if found.is_some() {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_stop_string_across_tokens_and_within_a_character_is_found() {
        let tokenizer = small();
        let tokens = tokenizer.encode("hello é€😀 end").unwrap();
        for stop in ["é€", "€😀", "o é", "😀 e", "end", "hello"] {
            assert!(compare(&tokenizer, &tokens, &[stop.to_string()]), "{stop}");
        }
        assert!(!compare(&tokenizer, &tokens, &["€ ".to_string()]));
    }

    #[test]
    fn the_text_is_not_decoded_again_and_again() {
        let tokenizer = small();
        let tokens: Vec<u32> = tokenizer.encode("hello ").unwrap().repeat(400);
        let mut search = StopSearch::default();
        for n in 1..=tokens.len() {
            assert_eq!(search.find(&tokenizer, &tokens[..n], &["###".to_string()]).unwrap(), None);
            assert!(n - search.context_start <= 2 && search.tail.len() <= 2);
        }
    }

    /// Letters whose parts are alike in different encodings, and a stray byte.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        let bytes = |s: &'static str| Just(s.as_bytes().to_vec());
        prop_oneof![
            4 => bytes("a"), 4 => bytes("b"), 3 => bytes(" "), 2 => bytes("é"), 2 => bytes("€"), 1 => bytes("😀"),
            1 => Just(vec![0xe2]), 1 => Just(vec![0xa9]), 1 => Just(vec![0xf0, 0x9f]),
        ]
    }

    fn stops() -> impl Strategy<Value = Vec<String>> {
        let stop = prop::collection::vec(prop_oneof!["a", "b", " ", "é", "€", "😀", "\u{fffd}"], 1..4);
        prop::collection::vec(stop.prop_map(|letters| letters.concat()), 1..3)
    }

    proptest! {
        #[test]
        fn byte_level_text_stops_where_the_whole_text_says(
            pieces in prop::collection::vec(piece(), 1..20), stops in stops(), special in 0_usize..30,
        ) {
            let tokenizer = small();
            let byte = |b: u8| {
                let (_, letter) = crate::tokenizer::byte_letters().nth(usize::from(b)).unwrap();
                tokenizer.token_to_id(&letter.to_string()).unwrap()
            };
            let mut tokens: Vec<u32> = pieces.concat().into_iter().map(byte).collect();
            if special < tokens.len() {
                tokens.insert(special, 0);
            }
            compare(&tokenizer, &tokens, &stops);
        }

        #[test]
        fn text_with_byte_fallback_stops_where_the_whole_text_says(
            tokens in prop::collection::vec(prop_oneof![
                6 => 1_u32..10, 1 => Just(10 + 0xc3), 1 => Just(10 + 0xa9), 1 => Just(10 + 0xe2),
                1 => Just(10 + 0x82), 1 => Just(10 + 0xac),
            ], 1..30),
            stops in stops(),
        ) {
            compare(&byte_fallback(), &tokens, &stops);
        }
    }
}
