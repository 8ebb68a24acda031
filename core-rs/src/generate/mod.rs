//! Generation over a forest: prompts share what they begin with, a group of rollouts shares its prompt's keys,
//! and finished rollouts leave the batch.

pub mod draw;
mod trie;

use crate::backend::{Backend, DecodeGroup, SampleRow, Sampled};
use crate::cancel::Cancel;
use crate::config::ModelConfig;
use crate::forest::Layout;
use crate::model::layer::{self, Layered};
use crate::model::reader::Reader;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
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
        /// Log-probability of each under the whole vocabulary at the request's temperature (1 when greedy).
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

/// A rollout in the batch.
struct Active {
    request: usize,
    leaf: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
}

/// All requests on their way, one token of each at a time.
pub struct Generation<'a, B: Backend> {
    reader: Reader<'a, B>,
    tokenizer: Option<&'a Tokenizer>,
    requests: &'a [Request],
    layout: Layout,
    /// Keys and values of the prompts: by layer, by segment.
    shared: Vec<Vec<B::Cache>>,
    /// Keys and values of the answers: by layer, by row of the batch.
    own: Vec<Vec<B::Cache>>,
    active: Vec<Active>,
    /// The residual stream behind the last layer, and the row of each active request in it; no rows once drawn from.
    x: B::Buffer,
    rows: Vec<u32>,
}

impl<'a, B: Backend> Generation<'a, B> {
    /// Checks the requests, at least one, and runs their prompts through the model.
    pub fn start(
        reader: Reader<'a, B>,
        tokenizer: Option<&'a Tokenizer>,
        requests: &'a [Request],
        cancel: &Cancel,
    ) -> Result<Self> {
        reader.vocab()?;
        for (i, request) in requests.iter().enumerate() {
            check(reader.config, tokenizer, i, request)?;
        }
        let prompts: Vec<&[u32]> = requests.iter().map(|r| r.prompt.as_slice()).collect();
        let trie::Prompts { forest, leaves } = trie::share(&prompts);
        let layout = Layout::new(&forest);
        reader.check(&forest, &layout)?;

        let mut x = reader.embed(&forest.tokens);
        let mut shared: Vec<Vec<B::Cache>> = Vec::with_capacity(reader.layers.len());
        for w in &reader.layers {
            cancel.check()?;
            let Layered { output, caches, .. } = layer::forward(&reader, w, x, &layout);
            x = output;
            shared.push(caches);
        }

        let active: Vec<Active> = leaves
            .iter()
            .enumerate()
            .map(|(request, &leaf)| Active { request, leaf, tokens: Vec::new(), logprobs: Vec::new() })
            .collect();
        let mut own: Vec<Vec<B::Cache>> = reader.layers.iter().map(|_| Vec::new()).collect();
        for caches in &mut own {
            caches.extend(active.iter().map(|_| reader.backend.empty_cache(reader.heads())));
        }
        let rows = leaves.iter().map(|&l| layout.segments[l].tokens.end as u32 - 1).collect();
        Ok(Self { reader, tokenizer, requests, layout, shared, own, active, x, rows })
    }

    /// Draws the next token of every unfinished request. `None` once all are finished.
    pub fn advance(&mut self, cancel: &Cancel) -> Result<Option<Vec<Event>>> {
        if self.active.is_empty() {
            return Ok(None);
        }
        cancel.check()?;
        if self.rows.is_empty() {
            self.x = self.step();
            self.rows = (0..self.active.len() as u32).collect();
        }
        let rows = std::mem::take(&mut self.rows);
        let sampled = sample(&self.reader, &self.x, &rows, self.requests, &self.active)?;
        let mut events = vec![Event::Tokens {
            requests: self.active.iter().map(|a| a.request as u32).collect(),
            tokens: sampled.iter().map(|s| s.token).collect(),
            logprobs: sampled.iter().map(|s| s.logprob).collect(),
        }];
        let mut going = Vec::with_capacity(self.active.len());
        for (a, s) in self.active.iter_mut().zip(sampled) {
            a.tokens.push(s.token);
            a.logprobs.push(s.logprob);
            let request = &self.requests[a.request];
            let end = finish(self.reader.config, self.tokenizer, request, &a.tokens)?;
            going.push(end.is_none());
            if let Some((finish, text)) = end {
                events.push(Event::Done {
                    request: a.request as u32,
                    tokens: std::mem::take(&mut a.tokens),
                    logprobs: std::mem::take(&mut a.logprobs),
                    text,
                    finish,
                    prompt_tokens: request.prompt.len() as u32,
                });
            }
        }
        keep(&mut self.active, &going);
        self.own.iter_mut().for_each(|caches| keep(caches, &going));
        Ok(Some(events))
    }

    /// Runs the last token of each unfinished request through the model. Gives the residual stream behind the last
    /// layer.
    fn step(&mut self) -> B::Buffer {
        let Self { reader, requests, layout, shared, own, active, .. } = self;
        let b = reader.backend;
        let heads = reader.heads();
        let tokens: Vec<u32> = active.iter().filter_map(|a| a.tokens.last().copied()).collect();
        let positions: Vec<u32> =
            active.iter().map(|a| (requests[a.request].prompt.len() + a.tokens.len()) as u32 - 1).collect();
        let mut leaves: Vec<usize> = active.iter().map(|a| a.leaf).collect();
        leaves.sort_unstable();
        leaves.dedup();
        let mut x = reader.embed(&tokens);
        for ((w, shared), own) in reader.layers.iter().zip(shared).zip(own) {
            let [q, k, v] = layer::project(reader, w, &x, &positions);
            for (row, cache) in own.iter_mut().enumerate() {
                b.append(&k, &v, row, heads, cache);
            }
            let groups: Vec<DecodeGroup<B>> = leaves
                .iter()
                .map(|&leaf| DecodeGroup {
                    shared: layout.segments[leaf]
                        .ancestors
                        .iter()
                        .chain([&leaf])
                        .map(|&s| &shared[s])
                        .collect(),
                    own: own.iter().enumerate().filter(|(row, _)| active[*row].leaf == leaf).collect(),
                })
                .collect();
            let mut attended = b.activation(tokens.len() * heads.heads * heads.head_dim);
            b.attention_decode(&q, &groups, heads, &mut attended);
            x = layer::finish(reader, w, x, &attended, tokens.len()).output;
        }
        x
    }
}

/// Drops the entries whose flag is not set.
fn keep<T>(values: &mut Vec<T>, flags: &[bool]) {
    let mut flags = flags.iter();
    values.retain(|_| flags.next().is_none_or(|&f| f));
}

fn check(config: &ModelConfig, tokenizer: Option<&Tokenizer>, i: usize, r: &Request) -> Result<()> {
    let refuse = |what: String| Err(Error::Input(format!("Request {i}: {what}")));
    let context = config.max_position;
    if r.prompt.is_empty() {
        return refuse("the prompt is empty, expected at least 1 token".into());
    }
    if r.prompt.len() >= context {
        let found = r.prompt.len();
        return refuse(format!(
            "a prompt of {found} tokens leaves no room in the model's context of {context}"
        ));
    }
    if r.max_tokens == 0 {
        return refuse("max_tokens is \"0\", expected at least 1".into());
    }
    if !(r.temperature >= 0.0 && r.temperature.is_finite()) {
        return refuse(format!("temperature is \"{}\", expected 0 or a positive number", r.temperature));
    }
    if !(r.top_p > 0.0 && r.top_p <= 1.0) {
        return refuse(format!("top_p is \"{}\", expected a number above 0 and at most 1", r.top_p));
    }
    if !r.stop.is_empty() && tokenizer.is_none() {
        return refuse("stop strings need a tokenizer, and the model has none".into());
    }
    if r.stop.iter().any(String::is_empty) {
        return refuse("a stop string is empty".into());
    }
    Ok(())
}

/// Draws one token behind each of the given rows of the residual stream.
fn sample<B: Backend>(
    reader: &Reader<B>,
    x: &B::Buffer,
    rows: &[u32],
    requests: &[Request],
    active: &[Active],
) -> Result<Vec<Sampled>> {
    let logits = reader.head_logits(x, rows)?;
    let rows: Vec<SampleRow> = active
        .iter()
        .map(|a| {
            let r = &requests[a.request];
            SampleRow {
                temperature: f64::from(r.temperature),
                top_k: r.top_k,
                top_p: f64::from(r.top_p),
                banned: if r.ignore_eos { &reader.config.eos_token_ids } else { &[] },
                draw: r.key.uniform(a.tokens.len() as u32),
            }
        })
        .collect();
    Ok(reader.backend.sample(&logits, &rows))
}

/// Whether the rollout is finished, with its text.
fn finish(
    config: &ModelConfig,
    tokenizer: Option<&Tokenizer>,
    request: &Request,
    tokens: &[u32],
) -> Result<Option<(Finish, String)>> {
    let text = || tokenizer.map_or(Ok(String::new()), |t| t.decode(tokens, false));
    let last = tokens.last().copied().unwrap_or_default();
    if config.eos_token_ids.contains(&last) {
        return Ok(Some((Finish::Eos, text()?)));
    }
    if !request.stop.is_empty() {
        let mut text = text()?;
        if let Some(at) = request.stop.iter().filter_map(|s| text.find(s)).min() {
            text.truncate(at);
            return Ok(Some((Finish::Stop, text)));
        }
    }
    if tokens.len() >= request.max_tokens {
        return Ok(Some((Finish::Length, text()?)));
    }
    if request.prompt.len() + tokens.len() >= config.max_position {
        return Ok(Some((Finish::Context, text()?)));
    }
    Ok(None)
}
