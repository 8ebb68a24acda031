//! Damage to files, each kind named and repeatable by its seed.

use serde_json::Value;

/// One damaged file in the making.
pub struct Damage {
    state: u64,
    story: Vec<String>,
}

/// Lengths, counts and offsets that no file can back.
const ABSURD: [u64; 12] = [
    0,
    1,
    u64::MAX,
    u64::MAX - 7,
    1 << 63,
    (1 << 63) - 1,
    1 << 62,
    1 << 40,
    1 << 32,
    (1 << 32) - 1,
    1 << 31,
    1 << 24,
];

/// What may stand in JSON where something else is expected: numbers out of range, other types, parts of tokenizers of
/// other kinds or with settings that cannot work.
const ABSURD_JSON: [&str; 42] = [
    "-1",
    "0",
    "1e18",
    "9223372036854775808",
    "18446744073709551615",
    "16777215",
    "16777216",
    "4294967296",
    "4294967295",
    "0.5",
    "-0.0",
    "1e300",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"x\"",
    "\"\\u0000\"",
    "\"▁\"",
    "[0, 4294967295]",
    "{\"a\": {\"a\": {}}}",
    "\"(a{1000}){1000}\"",
    "\"(x+x+)+y\"",
    "\"(?<=a*)b|(\"",
    r#"{"type": "Precompiled", "precompiled_charsmap": "AAAA"}"#,
    r#"{"type": "Precompiled", "precompiled_charsmap": "/////////////////////w=="}"#,
    r#"{"type": "Replace", "pattern": {"Regex": "(.*)*"}, "content": "$1$1"}"#,
    r#"{"type": "Replace", "pattern": {"String": ""}, "content": "xx"}"#,
    r#"{"type": "Split", "pattern": {"Regex": "(a{1000}){1000}"}, "behavior": "Isolated", "invert": true}"#,
    r#"{"type": "Split", "pattern": {"String": ""}, "behavior": "MergedWithNext", "invert": true}"#,
    r#"{"type": "FixedLength", "length": 0}"#,
    r#"{"type": "Metaspace", "replacement": "ab", "prepend_scheme": "always", "split": true}"#,
    r#"{"type": "Strip", "content": "x", "start": 18446744073709551615, "stop": 9}"#,
    r#"{"type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": true}"#,
    r#"{"type": "WordPiece", "prefix": "", "cleanup": true}"#,
    r#"{"type": "BPEDecoder", "suffix": ""}"#,
    r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#,
    r#"{"type": "RobertaProcessing", "sep": ["a", 99999], "cls": ["b", 4294967295], "trim_offsets": true, "add_prefix_space": true}"#,
    r#"{"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}"#,
    r#"{"type": "Unigram", "unk_id": 9, "vocab": [["a", 0.0]], "byte_fallback": true}"#,
    r#"{"type": "Sequence", "normalizers": [], "pretokenizers": [], "decoders": [], "processors": []}"#,
];

impl Damage {
    pub fn new(name: &str, seed: u64) -> Self {
        let label =
            name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { state: label, story: Vec::new() }
    }

    /// What was done, for a failure's message.
    pub fn story(&self) -> String {
        self.story.join(", then ")
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A place in a file: as often in its first bytes, where the counts and lengths are, as anywhere.
    fn place(&mut self, len: usize) -> usize {
        match self.below(4) {
            0 => self.below(len.min(64)),
            1 => self.below(len.min(4096)),
            _ => self.below(len),
        }
    }

    /// A damaged copy of `whole`; `others` are whole files to splice in.
    pub fn apply(&mut self, whole: &[u8], others: &[&[u8]], json: bool) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let damages = if self.below(2) == 0 { 1 } else { 1 + self.below(3) };
        for _ in 0..damages {
            if json && self.below(8) < 7 {
                self.json(&mut bytes);
            } else {
                self.plain(&mut bytes, others);
            }
        }
        bytes
    }

    fn plain(&mut self, bytes: &mut Vec<u8>, others: &[&[u8]]) {
        let at = self.place(bytes.len());
        match self.below(9) {
            0 => {
                bytes.truncate(at);
                self.story.push(format!("cut at {at}"));
            }
            1 | 2 => {
                let bit = self.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                self.story.push(format!("bit {bit} of {at} flipped"));
            }
            3 => {
                let count = self.below(16) + 1;
                let inserted: Vec<u8> = (0..count).map(|_| self.next() as u8).collect();
                bytes.splice(at..at, inserted);
                self.story.push(format!("{count} bytes put in at {at}"));
            }
            4 => {
                let end = (at + self.below(64)).min(bytes.len());
                bytes.drain(at..end);
                self.story.push(format!("{at}..{end} taken out"));
            }
            5 | 6 => {
                let value = ABSURD[self.below(ABSURD.len())];
                let width = if self.below(2) == 0 { 8 } else { 4 };
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                self.story.push(format!("{value} written at {at} in {width} bytes"));
            }
            7 => {
                let other = others[self.below(others.len())];
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
                self.story.push(format!("spliced at {at} with another file from {from}"));
            }
            _ => {
                let end = (at + self.below(4096)).min(bytes.len());
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
                self.story.push(format!("{at}..{end} doubled"));
            }
        }
    }

    /// Replaces, renames, doubles or takes out a part, so that the JSON stays whole. What is no JSON any more is left.
    fn json(&mut self, bytes: &mut Vec<u8>) {
        let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return };
        let donor = self.part(&mut value.clone()).1.clone();
        let key = self.next();
        let way = self.below(8);
        let absurd = serde_json::from_str(ABSURD_JSON[self.below(ABSURD_JSON.len())]).expect("JSON");
        let (place, part) = self.part(&mut value);
        let done = match (way, part) {
            (0, part) => {
                *part = donor;
                "became another part"
            }
            (1, Value::Array(items)) if !items.is_empty() => {
                let at = key as usize % items.len();
                items.push(items[at].clone());
                "has an item twice"
            }
            (1 | 2, Value::Array(items)) if !items.is_empty() => {
                items.swap_remove(key as usize % items.len());
                "lost an item"
            }
            (1 | 2, Value::Object(fields)) if !fields.is_empty() => {
                let name = fields.keys().nth(key as usize % fields.len()).expect("it has fields").clone();
                let field = fields.shift_remove(&name);
                if way == 1 {
                    fields.insert(format!("{name}x"), field.unwrap_or_default());
                }
                "lost or renamed a field"
            }
            (3, part) => {
                *part = (0..key % 200).fold(part.take(), |inner, _| Value::Array(vec![inner]));
                "went deep"
            }
            (_, part) => {
                *part = absurd;
                "became absurd"
            }
        };
        self.story.push(format!("{place} {done}"));
        *bytes = value.to_string().into_bytes();
    }

    /// A part of a document and where it is: a step down at a time, and seldom the whole.
    fn part<'a>(&mut self, mut value: &'a mut Value) -> (String, &'a mut Value) {
        let mut place = String::from("$");
        loop {
            let choice = self.next() as usize;
            let size = match &*value {
                Value::Array(items) => items.len(),
                Value::Object(fields) => fields.len(),
                _ => 0,
            };
            if size == 0 || self.below(8) == 0 {
                return (place, value);
            }
            match value {
                Value::Array(items) => {
                    place.push_str(&format!("[{}]", choice % size));
                    value = &mut items[choice % size];
                }
                Value::Object(fields) => {
                    let (name, inner) = fields.iter_mut().nth(choice % size).expect("it has as many");
                    place.push_str(&format!(".{name}"));
                    value = inner;
                }
                _ => unreachable!("it has parts"),
            }
        }
    }
}
