//! Damage to files, each kind named and repeatable by its seed.

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

/// What may stand in JSON where something else is expected.
const ABSURD_JSON: [&str; 22] = [
    "-1",
    "0",
    "1e400",
    "1e18",
    "9223372036854775808",
    "18446744073709551616",
    "16777215",
    "4294967296",
    "0.5",
    "-0.0",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"x\"",
    "\"\\u0000\"",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    "[0, 4294967295]",
    "{\"a\": {\"a\": {}}}",
    "\"\\ud800\"",
    "\"(a{1000}){1000}\"",
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
        for _ in 0..=self.below(3) {
            if json && self.below(8) < 6 {
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

    /// Replaces, doubles or takes out a value, so that the JSON mostly stays whole.
    fn json(&mut self, bytes: &mut Vec<u8>) {
        let values = values(bytes);
        if values.is_empty() {
            return;
        }
        let (start, end) = values[self.below(values.len())];
        let old = String::from_utf8_lossy(&bytes[start..end]).into_owned();
        let with = match self.below(6) {
            0 => {
                let (from, to) = values[self.below(values.len())];
                String::from_utf8_lossy(&bytes[from..to]).into_owned()
            }
            1 => format!("{old}, {old}"),
            2 => "[".repeat(self.below(300)) + &"]".repeat(self.below(300)),
            _ => ABSURD_JSON[self.below(ABSURD_JSON.len())].to_owned(),
        };
        self.story.push(format!("{old:.40} at {start} became {with:.40}"));
        bytes.splice(start..end, with.into_bytes());
    }
}

/// Where the texts, numbers and words of JSON stand, keys included.
fn values(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
                found.push((start, at));
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                while at < bytes.len()
                    && matches!(bytes[at], b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E')
                {
                    at += 1;
                }
                found.push((start, at));
            }
            _ => at += 1,
        }
    }
    found
}
