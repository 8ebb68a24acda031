//! Generation over a forest: prompts share what they begin with, and a group of rollouts shares its prompt's keys.
//! Requests are admitted in order as memory allows, join the batch when their prompt has gone through the model, and
//! leave it when they end. None of this changes a bit of what a request gives.

mod batch;
mod check;
pub mod draw;
mod memory;
mod prefixes;
mod step;
mod stop;
mod trie;

pub use batch::Generation;
pub use draw::DrawKey;

/// One rollout to generate.
#[derive(Debug, Clone)]
pub struct Request {
    /// Token ids, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to generate, at least one.
    pub max_tokens: usize,
    /// 0 takes the most likely token (ties: the lowest id).
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of tokens whose mass reaches p; 1 keeps all.
    pub top_p: f32,
    /// Keep the tokens at least this times as likely as the likeliest; 0 keeps all. Filters apply at the temperature
    /// and in the order top-k, top-p, min-p.
    pub min_p: f32,
    /// Token ids and what is added to their logits before temperature and filters. −∞ is a ban; ±100 amount to a ban
    /// or a certainty. It steers the draw alone: see [`Event::Tokens`].
    pub logit_bias: Vec<(u32, f32)>,
    /// End as soon as the text contains one of these.
    pub stop: Vec<String>,
    /// Never sample an end-of-sequence token.
    pub ignore_eos: bool,
    /// The rollout's stream of random draws.
    pub key: DrawKey,
}

/// Why a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// An end-of-sequence token, which is the last of the tokens.
    Eos,
    /// A stop string, which the text is cut before.
    Stop,
    /// `max_tokens`.
    Length,
    /// The model's context.
    Context,
}

impl Finish {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Finish::Eos => "eos",
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Context => "context",
        }
    }
}

/// What generation tells as it goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// One new token of each of these requests.
    Tokens {
        /// Indexes of the requests.
        requests: Vec<u32>,
        /// Their new tokens.
        tokens: Vec<u32>,
        /// Log-probability of each under the whole vocabulary at the request's temperature (1 when greedy): what the
        /// model gives it, bit for bit, and not what bias and filters made of that for the draw.
        logprobs: Vec<f32>,
    },
    /// A request is finished.
    Done {
        /// Its index.
        request: u32,
        /// All its tokens.
        tokens: Vec<u32>,
        /// Of each token.
        logprobs: Vec<f32>,
        /// Decoded without special tokens; empty for a model with no tokenizer.
        text: String,
        /// Why it ended.
        finish: Finish,
        /// Tokens of its prompt.
        prompt_tokens: u32,
    },
}

/// How requests are scheduled. None of it changes results.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Most bytes of keys and values. `None` takes half of the device's free memory.
    pub kv_bytes: Option<usize>,
    /// Most prompt tokens that go through the model in a pass, which bounds the memory of activations; at least 1.
    pub prefill_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        // In turns on one thread nobody is heard during a pass, and in WebAssembly it is slow: of SmolLM2 128 rows take two
        // seconds. Fewer expand quantised weights too often: 32 take the whole prompt a third longer.
        Self { kv_bytes: None, prefill_rows: if cfg!(target_family = "wasm") { 128 } else { 1024 } }
    }
}

/// What a job of generation took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of keys and values that it was allowed.
    pub kv_budget: usize,
    /// Most bytes of keys and values that were reserved at once.
    pub kv_peak: usize,
    /// Requests that had to wait for others to end.
    pub waited: usize,
    /// Prompt tokens that went through the model; shared ones count once for each time that they did.
    pub prefilled: usize,
}
