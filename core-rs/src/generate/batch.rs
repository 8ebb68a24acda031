//! The running batch: who is in it, and one step of it.

use super::check::check;
use super::memory::Memory;
use super::prefixes::{Held, Prefixes};
use super::step::{self, Step};
use super::stop::StopSearch;
use super::{Event, Finish, Options, Request, Summary};
use crate::backend::{Backend, Piece, SampleRow, Sampled, chunks};
use crate::cancel::Cancel;
use crate::model::reader::Reader;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Divisor of the device's free memory that gives the default budget of keys and values: half is left for
/// activations, for the packed weights and for a second job.
const DEFAULT_SHARE: usize = 2;
/// Rows whose logits exist at once: at a vocabulary of 150,000, 77 MB of f32.
const SAMPLE_ROWS: usize = 128;

/// A rollout in the batch.
struct Active<B: Backend> {
    request: usize,
    /// The last segment of its prompt.
    leaf: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    stop: StopSearch,
    /// Keys and values of its tokens but the last.
    cache: B::Cache,
}

/// Requests on their way, one token of each at a time.
pub struct Generation<'a, B: Backend> {
    reader: Reader<'a, B>,
    tokenizer: Option<&'a Tokenizer>,
    requests: &'a [Request],
    prefill_rows: usize,
    prefixes: Prefixes<B>,
    memory: Memory,
    key_values: B::KeyValues,
    /// Decoding steps by their rows.
    steps: BTreeMap<usize, Step<B>>,
    /// The first request that waits for admission.
    next: usize,
    /// Segments that have yet to go through the model, parents first.
    pending: VecDeque<usize>,
    /// Admitted requests whose prompt has yet to go through.
    filling: Vec<usize>,
    active: Vec<Active<B>>,
    /// Requests that were not admitted at once; `None` before the first admission.
    waited: Option<usize>,
    prefilled: usize,
}

impl<'a, B: Backend> Generation<'a, B> {
    /// Checks all requests: none is begun if one of them is wrong, or if its keys and values could never fit into
    /// the budget.
    pub fn start(
        reader: Reader<'a, B>,
        tokenizer: Option<&'a Tokenizer>,
        requests: &'a [Request],
        options: &Options,
    ) -> Result<Self> {
        reader.vocab()?;
        for (i, request) in requests.iter().enumerate() {
            check(reader.config, tokenizer, i, request)?;
        }
        if options.prefill_rows == 0 {
            return Err(Error::Input("prefill_rows is \"0\", expected at least 1".into()));
        }
        let prompts: Vec<&[u32]> = requests.iter().map(|r| r.prompt.as_slice()).collect();
        let (layers, heads) = (reader.config.num_layers, reader.heads());
        let backend = reader.backend;
        let prefixes = Prefixes::new(backend, heads, layers, &prompts);
        let budget =
            options.kv_bytes.map_or_else(|| Ok(backend.free_memory()? / DEFAULT_SHARE), Ok::<_, Error>)?;
        let mut all = prefixes.all_bytes();
        for (i, request) in requests.iter().enumerate() {
            let own = own_bytes(&reader, request);
            all = all.saturating_add(own);
            let needed = prefixes.bytes(i) + own;
            if needed > budget {
                return Err(Error::Input(format!(
                    "Request {i}: the keys and values of {} prompt tokens and up to {} new ones need \"{needed}\" \
                     bytes, expected at most the budget of {budget}: ask for fewer max_tokens or raise kv_bytes",
                    request.prompt.len(),
                    new_tokens(&reader, request),
                )));
            }
        }
        Ok(Self {
            key_values: backend.key_values(layers, heads, budget.min(all))?,
            prefixes,
            reader,
            tokenizer,
            requests,
            prefill_rows: options.prefill_rows,
            memory: Memory::new(budget),
            steps: BTreeMap::new(),
            next: 0,
            pending: VecDeque::new(),
            filling: Vec::new(),
            active: Vec::new(),
            waited: None,
            prefilled: 0,
        })
    }

    /// What it took so far.
    pub fn summary(&self) -> Summary {
        Summary {
            kv_budget: self.memory.budget(),
            kv_peak: self.memory.peak(),
            waited: self.waited.unwrap_or(0),
            prefilled: self.prefilled,
        }
    }

    /// Admits whom there is room for, takes prompts a part further, and draws the next token of every rollout whose
    /// prompt is through. `None` once all requests are finished.
    pub fn advance(&mut self, cancel: &Cancel) -> Result<Option<Vec<Event>>> {
        if self.active.is_empty() && self.filling.is_empty() && self.next == self.requests.len() {
            return Ok(None);
        }
        cancel.check()?;
        self.admit()?;
        if !self.pending.is_empty() {
            self.prefill(cancel)?;
        }
        let mut sampled = Vec::with_capacity(self.active.len());
        if !self.active.is_empty() {
            self.step(cancel)?;
            let rows: Vec<u32> = (0..self.active.len() as u32).collect();
            let bucket = self.reader.backend.bucket(rows.len());
            sampled = self.sample(self.steps[&bucket].output(), &rows, &self.active)?;
        }
        let (joining, first) = self.join()?;
        self.active.extend(joining);
        sampled.extend(first);
        if sampled.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut events = vec![Event::Tokens {
            requests: self.active.iter().map(|a| a.request as u32).collect(),
            tokens: sampled.iter().map(|s| s.token).collect(),
            logprobs: sampled.iter().map(|s| s.logprob).collect(),
        }];
        let mut going = Vec::with_capacity(self.active.len());
        for (mut a, s) in std::mem::take(&mut self.active).into_iter().zip(sampled) {
            a.tokens.push(s.token);
            a.logprobs.push(s.logprob);
            let Some((finish, text)) = self.finish(&mut a)? else {
                going.push(a);
                continue;
            };
            self.memory.give(own_bytes(&self.reader, &self.requests[a.request]));
            self.prefixes.leave(&mut self.memory, a.request, self.next);
            events.push(Event::Done {
                request: a.request as u32,
                tokens: a.tokens,
                logprobs: a.logprobs,
                text,
                finish,
                prompt_tokens: self.requests[a.request].prompt.len() as u32,
            });
        }
        self.active = going;
        Ok(Some(events))
    }

    /// Admits requests in order until one finds no room.
    fn admit(&mut self) -> Result<()> {
        while self.next < self.requests.len() {
            let own = own_bytes(&self.reader, &self.requests[self.next]);
            let device = (self.reader.backend, &self.key_values);
            let Some(missing) = self.prefixes.admit(device, &mut self.memory, self.next, own)? else { break };
            self.pending.extend(missing);
            self.filling.push(self.next);
            self.next += 1;
        }
        self.waited.get_or_insert(self.requests.len() - self.next);
        Ok(())
    }

    /// Takes the next `prefill_rows` prompt tokens through the model.
    fn prefill(&mut self, cancel: &Cancel) -> Result<()> {
        let segments = &mut self.prefixes.segments;
        let mut runs: Vec<(usize, Range<usize>)> = Vec::new();
        let mut room = self.prefill_rows;
        while let (1.., Some(&s)) = (room, self.pending.front()) {
            let done = segments[s].held.as_ref().map_or(0, |held| held.done);
            let end = segments[s].tokens.len().min(done + room);
            room -= end - done;
            runs.push((s, done..end));
            if end == segments[s].tokens.len() {
                self.pending.pop_front();
            }
        }
        self.prefilled += self.prefill_rows - room;

        let mut used: Vec<usize> = runs.iter().flat_map(|(s, _)| &segments[*s].path).copied().collect();
        used.sort_unstable();
        used.dedup();
        let place = |s: &usize| used.partition_point(|u| u < s);
        let (mut tokens, mut positions, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        for (s, run) in &runs {
            let segment = &segments[*s];
            let start = tokens.len();
            tokens.extend_from_slice(&segment.tokens[run.clone()]);
            positions.extend(run.clone().map(|t| (segment.position + t) as u32));
            let (own, ancestors) = segment.path.split_last().expect("a path has at least its own segment");
            pieces.push(Piece {
                rows: start..tokens.len(),
                ancestors: ancestors.iter().map(place).collect(),
                own: place(own),
            });
        }
        let mut held: Vec<Held<B>> = used.iter().filter_map(|&s| segments[s].held.take()).collect();
        assert_eq!(held.len(), used.len(), "the segments before one that is admitted are held");

        let (reader, b) = (&self.reader, self.reader.backend);
        let mut caches: Vec<&mut B::Cache> = held.iter_mut().map(|h| &mut h.cache).collect();
        let mut plan = B::Plan::default();
        b.plan(&pieces, &mut caches, &mut plan)?;
        let (ids, positions) = (b.indices(&tokens)?, b.indices(&positions)?);
        let x = step::layers(reader, tokens.len(), (&ids, &positions), &plan, &mut caches, cancel)?;

        let ends = |(s, run): &(usize, Range<usize>)| {
            segments[*s].ends_prompt && run.end == segments[*s].tokens.len()
        };
        let ending: Vec<usize> = (0..runs.len()).filter(|&i| ends(&runs[i])).collect();
        let rows: Vec<u32> = ending.iter().map(|&i| pieces[i].rows.end as u32 - 1).collect();
        if !rows.is_empty() {
            let last = reader.gather(&x, &rows)?;
            let last = b.download(&last)?;
            for (&i, last) in ending.iter().zip(last.chunks_exact(reader.config.hidden_size)) {
                held[pieces[i].own].last = last.to_vec();
            }
        }
        for ((_, run), piece) in runs.iter().zip(&pieces) {
            held[piece.own].done = run.end;
        }
        for (&s, h) in used.iter().zip(held) {
            segments[s].held = Some(h);
        }
        Ok(())
    }

    /// The requests whose prompt is through by now, with their first tokens.
    fn join(&mut self) -> Result<(Vec<Active<B>>, Vec<Sampled>)> {
        let (reader, b) = (&self.reader, self.reader.backend);
        let segments = &self.prefixes.segments;
        let leaf = |request: &usize| self.prefixes.leaves[*request];
        let (ready, filling): (Vec<usize>, Vec<usize>) =
            self.filling.iter().partition(|r| segments[leaf(r)].is_done());
        if ready.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let joining = ready.iter().map(|&request| {
            let room = own_room(reader, &self.requests[request]);
            Ok(Active {
                request,
                leaf: leaf(&request),
                tokens: Vec::new(),
                logprobs: Vec::new(),
                stop: StopSearch::default(),
                cache: b.empty_cache(&self.key_values, reader.config.num_layers, reader.heads(), room)?,
            })
        });
        let joining: Vec<Active<B>> = joining.collect::<Result<_>>()?;
        let mut leaves: Vec<usize> = ready.iter().map(leaf).collect();
        leaves.sort_unstable();
        leaves.dedup();
        let last: Vec<B::Scalar> =
            leaves.iter().filter_map(|&l| segments[l].held.as_ref()).flat_map(|h| h.last.clone()).collect();
        let rows: Vec<u32> = ready.iter().map(|r| leaves.partition_point(|&l| l < leaf(r)) as u32).collect();
        let first = self.sample(&b.upload(&last)?, &rows, &joining)?;
        self.filling = filling;
        Ok((joining, first))
    }

    /// Runs the last token of each rollout through the model.
    fn step(&mut self, cancel: &Cancel) -> Result<()> {
        let Self { reader, requests, prefixes, active, steps, .. } = self;
        let tokens: Vec<u32> = active.iter().filter_map(|a| a.tokens.last().copied()).collect();
        let positions: Vec<u32> =
            active.iter().map(|a| (requests[a.request].prompt.len() + a.tokens.len()) as u32 - 1).collect();
        let mut used: Vec<usize> =
            active.iter().flat_map(|a| &prefixes.segments[a.leaf].path).copied().collect();
        used.sort_unstable();
        used.dedup();
        let place = |s: &usize| used.partition_point(|u| u < s);
        let pieces: Vec<Piece> = active
            .iter()
            .enumerate()
            .map(|(row, a)| Piece {
                rows: row..row + 1,
                ancestors: prefixes.segments[a.leaf].path.iter().map(place).collect(),
                own: used.len() + row,
            })
            .collect();
        let mut shared = prefixes.segments.iter_mut().enumerate();
        let mut caches: Vec<&mut B::Cache> = used
            .iter()
            .filter_map(|&s| shared.find(|(i, _)| *i == s)?.1.held.as_mut())
            .map(|held| &mut held.cache)
            .collect();
        caches.extend(active.iter_mut().map(|a| &mut a.cache));
        let rows = reader.backend.bucket(tokens.len());
        if !steps.contains_key(&rows) {
            // What has not been recorded is as soon made again.
            steps.retain(|_, step| step.is_recorded());
            steps.insert(rows, Step::new(reader, rows)?);
        }
        let step = steps.get_mut(&rows).expect("it has just been made");
        step.run(reader, (tokens, positions), &pieces, &mut caches, cancel)
    }

    /// Draws one token behind each of the given rows of the residual stream, for the rollouts in their order.
    fn sample(&self, x: &B::Buffer, rows: &[u32], rollouts: &[Active<B>]) -> Result<Vec<Sampled>> {
        let (reader, b) = (&self.reader, self.reader.backend);
        let sampling: Vec<SampleRow> = rollouts
            .iter()
            .map(|a| {
                let r = &self.requests[a.request];
                SampleRow {
                    temperature: f64::from(r.temperature),
                    top_k: r.top_k,
                    top_p: f64::from(r.top_p),
                    min_p: f64::from(r.min_p),
                    bias: &r.logit_bias,
                    banned: if r.ignore_eos { &reader.config.eos_token_ids } else { &[] },
                    draw: r.key.uniform(a.tokens.len() as u32),
                }
            })
            .collect();
        let mut sampled = Vec::with_capacity(rows.len());
        for pass in chunks(rows.len(), SAMPLE_ROWS) {
            let logits = reader.head_logits(x, &rows[pass.clone()])?;
            sampled.extend(b.sample(&logits, &sampling[pass])?);
        }
        if let Some((a, _)) = rollouts.iter().zip(&sampled).find(|(_, s)| s.logprob.is_nan()) {
            return Err(Error::NotFinite(format!(
                "Request {}: the logits of new token {} are \"NaN\": the weights are damaged or have diverged",
                a.request,
                a.tokens.len(),
            )));
        }
        Ok(sampled)
    }

    /// Whether the rollout is finished, with its text.
    fn finish(&self, a: &mut Active<B>) -> Result<Option<(Finish, String)>> {
        let config = self.reader.config;
        let request = &self.requests[a.request];
        let text = || self.tokenizer.map_or(Ok(String::new()), |t| t.decode(&a.tokens, false));
        let last = a.tokens.last().copied().unwrap_or_default();
        if config.eos_token_ids.contains(&last) {
            return Ok(Some((Finish::Eos, text()?)));
        }
        if let Some(tokenizer) = self.tokenizer
            && let Some(text) = a.stop.find(tokenizer, &a.tokens, &request.stop)?
        {
            return Ok(Some((Finish::Stop, text)));
        }
        if a.tokens.len() >= request.max_tokens {
            return Ok(Some((Finish::Length, text()?)));
        }
        if request.prompt.len() + a.tokens.len() >= config.max_position {
            return Ok(Some((Finish::Context, text()?)));
        }
        Ok(None)
    }
}

/// Most tokens that a request can get.
fn new_tokens<B: Backend>(reader: &Reader<B>, request: &Request) -> usize {
    request.max_tokens.min(reader.config.max_position - request.prompt.len())
}

/// Tokens of an answer that may be read again: the last one never is.
fn own_room<B: Backend>(reader: &Reader<B>, request: &Request) -> usize {
    new_tokens(reader, request) - 1
}

/// Bytes of an answer's keys and values.
fn own_bytes<B: Backend>(reader: &Reader<B>, request: &Request) -> usize {
    let room = own_room(reader, request);
    reader.backend.cache_bytes(reader.config.num_layers, reader.heads(), room)
}
