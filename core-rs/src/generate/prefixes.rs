//! The prompts' keys and values: each shared prefix once, from the first request that needs it until nobody does.

use super::memory::Memory;
use super::trie;
use crate::Result;
use crate::backend::{Backend, Heads};
use crate::forest::Layout;
use std::cmp::Reverse;

/// What is kept of a segment while it is held.
pub struct Held<B: Backend> {
    /// Keys and values.
    pub cache: B::Cache,
    /// Its tokens that have gone through the model.
    pub done: usize,
    /// The residual stream behind its last token, once a prompt that ends here has gone through.
    pub last: Vec<B::Scalar>,
    /// Admitted requests that read it.
    readers: usize,
}

/// A run of tokens that the same requests begin with.
pub struct Segment<B: Backend> {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Position of its first token.
    pub position: usize,
    /// Itself and the segments before it, root first.
    pub path: Vec<usize>,
    /// Whether a prompt ends with it.
    pub ends_prompt: bool,
    /// What it holds, if it does.
    pub held: Option<Held<B>>,
    /// Requests that need it, ascending.
    users: Vec<usize>,
    /// What its cache takes.
    bytes: usize,
}

impl<B: Backend> Segment<B> {
    /// Whether all of it has gone through the model.
    pub fn is_done(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.done == self.tokens.len())
    }

    /// The first of the requests from `next` on that needs it.
    fn next_use(&self, next: usize) -> Option<usize> {
        self.users.get(self.users.partition_point(|&u| u < next)).copied()
    }

    fn is_idle(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.readers == 0)
    }
}

/// The segments of all prompts of a job.
pub struct Prefixes<B: Backend> {
    /// Parents stand before their children.
    pub segments: Vec<Segment<B>>,
    /// The segment that each request's prompt ends with.
    pub leaves: Vec<usize>,
    layers: usize,
    heads: Heads,
}

impl<B: Backend> Prefixes<B> {
    /// Finds what the prompts share. Nothing is held yet.
    pub fn new(backend: &B, heads: Heads, layers: usize, prompts: &[&[u32]]) -> Self {
        let trie::Prompts { forest, leaves } = trie::share(prompts);
        let mut segments: Vec<Segment<B>> = Layout::new(&forest)
            .segments
            .into_iter()
            .enumerate()
            .map(|(i, s)| Segment {
                bytes: backend.cache_bytes(layers, heads, s.tokens.len()),
                tokens: forest.tokens[s.tokens].to_vec(),
                position: s.position,
                path: s.ancestors.into_iter().chain([i]).collect(),
                ends_prompt: false,
                held: None,
                users: Vec::new(),
            })
            .collect();
        for (request, &leaf) in leaves.iter().enumerate() {
            segments[leaf].ends_prompt = true;
            for s in segments[leaf].path.clone() {
                segments[s].users.push(request);
            }
        }
        Self { segments, leaves, layers, heads }
    }

    /// Bytes of all prompts at once.
    pub fn all_bytes(&self) -> usize {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    /// Bytes of a request's whole prompt.
    pub fn bytes(&self, request: usize) -> usize {
        self.path(request).iter().map(|&s| self.segments[s].bytes).sum()
    }

    fn path(&self, request: usize) -> &[usize] {
        &self.segments[self.leaves[request]].path
    }

    /// Takes memory for what is not held yet of a request's prompt and for `own` bytes more, and adds the request to
    /// the prompt's readers. Gives the segments that must go through the model, or `None`, and nothing has changed,
    /// if there is no room.
    ///
    /// Requests come in ascending order, so it is known when a segment that nobody reads now is needed again. Where
    /// room is short, the one that is needed last goes first, which is the best choice there is (Belady 1966).
    pub fn admit(
        &mut self,
        (backend, key_values): (&B, &B::KeyValues),
        memory: &mut Memory,
        request: usize,
        own: usize,
    ) -> Result<Option<Vec<usize>>> {
        let path = self.path(request).to_vec();
        let missing: Vec<usize> = path.iter().copied().filter(|&s| self.segments[s].held.is_none()).collect();
        let needed = own + missing.iter().map(|&s| self.segments[s].bytes).sum::<usize>();
        let mut idle: Vec<usize> = Vec::new();
        if needed > memory.free() {
            idle.extend(
                (0..self.segments.len()).filter(|s| self.segments[*s].is_idle() && !path.contains(s)),
            );
            let idle_bytes: usize = idle.iter().map(|&s| self.segments[s].bytes).sum();
            if needed > memory.free() + idle_bytes {
                return Ok(None);
            }
            idle.sort_by_key(|&s| Reverse((self.segments[s].next_use(request), s)));
        }
        for s in idle {
            if needed <= memory.free() {
                break;
            }
            self.free(memory, s);
        }
        memory.take(needed);
        for &s in &missing {
            let tokens = self.segments[s].tokens.len();
            let cache = backend.empty_cache(key_values, self.layers, self.heads, tokens)?;
            self.segments[s].held = Some(Held { cache, done: 0, last: Vec::new(), readers: 0 });
        }
        for s in path {
            if let Some(held) = &mut self.segments[s].held {
                held.readers += 1;
            }
        }
        Ok(Some(missing))
    }

    /// Takes a request from its prompt's readers. What nobody reads any more stays only for the requests from `next`
    /// on.
    pub fn leave(&mut self, memory: &mut Memory, request: usize, next: usize) {
        for s in self.path(request).to_vec() {
            if let Some(held) = &mut self.segments[s].held {
                held.readers -= 1;
            }
            if self.segments[s].is_idle() && self.segments[s].next_use(next).is_none() {
                self.free(memory, s);
            }
        }
    }

    fn free(&mut self, memory: &mut Memory, segment: usize) {
        let segment = &mut self.segments[segment];
        if segment.held.take().is_some() {
            memory.give(segment.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;

    const HEADS: Heads = Heads { heads: 1, kv_heads: 1, head_dim: 16 };

    fn held(prefixes: &Prefixes<Cpu<f32>>) -> Vec<usize> {
        (0..prefixes.segments.len()).filter(|&s| prefixes.segments[s].held.is_some()).collect()
    }

    #[test]
    fn room_is_made_by_what_is_needed_last() {
        let backend = Cpu::<f32>::new();
        let one = backend.cache_bytes(1, HEADS, 2);
        let prompts: [&[u32]; 6] = [&[1, 1], &[2, 2], &[3, 3], &[2, 2], &[1, 1], &[1, 1]];
        let mut prefixes = Prefixes::new(&backend, HEADS, 1, &prompts);
        let mut memory = Memory::new(2 * one);
        let admit =
            |p: &mut Prefixes<_>, memory: &mut Memory, r| p.admit((&backend, &()), memory, r, 0).unwrap();
        assert_eq!(admit(&mut prefixes, &mut memory, 0), Some(vec![0]));
        assert_eq!(admit(&mut prefixes, &mut memory, 1), Some(vec![1]));
        assert_eq!(admit(&mut prefixes, &mut memory, 2), None);
        prefixes.leave(&mut memory, 0, 2);
        prefixes.leave(&mut memory, 1, 2);
        assert_eq!(held(&prefixes), [0, 1], "both are needed again");
        // Request 3 needs prompt 2 before request 4 needs prompt 1.
        assert_eq!(admit(&mut prefixes, &mut memory, 2), Some(vec![2]));
        assert_eq!(held(&prefixes), [1, 2]);
        assert_eq!(admit(&mut prefixes, &mut memory, 3), Some(vec![]));
        prefixes.leave(&mut memory, 2, 4);
        assert_eq!(held(&prefixes), [1], "nobody needs prompt 3 again");
        assert_eq!(admit(&mut prefixes, &mut memory, 4), Some(vec![0]));
        prefixes.leave(&mut memory, 4, 5);
        assert_eq!(admit(&mut prefixes, &mut memory, 5), Some(vec![]));
        prefixes.leave(&mut memory, 3, 6);
        prefixes.leave(&mut memory, 5, 6);
        assert_eq!((held(&prefixes).len(), memory.free(), memory.peak()), (0, 2 * one, 2 * one));
    }
}
