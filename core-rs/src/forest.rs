//! A batch as a forest of token segments: each segment attends to its ancestors and, causally, to itself.
//!
//! A prompt shared by seven rollouts is one segment with seven children, so it is stored, computed and
//! differentiated once. A flat packed batch is a forest of roots.

use crate::{Error, Result};
use std::ops::Range;

/// Token segments with parents. Build it with [`Forest::new`], which checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forest {
    /// Token ids of all segments, in segment order.
    pub tokens: Vec<u32>,
    /// Tokens of each segment, at least 1.
    pub lengths: Vec<u32>,
    /// Index of each segment's parent, -1 for a root; a parent stands before its children.
    pub parents: Vec<i32>,
}

impl Forest {
    /// Checks that lengths are positive and add up, and that parents stand before their children.
    pub fn new(tokens: Vec<u32>, lengths: Vec<u32>, parents: Vec<i32>) -> Result<Self> {
        if lengths.len() != parents.len() {
            return Err(Error::Input(format!(
                "A forest needs a parent for each segment: found {} lengths and {} parents",
                lengths.len(),
                parents.len()
            )));
        }
        if let Some(i) = lengths.iter().position(|&n| n == 0) {
            return Err(Error::Input(format!(
                "Segment {i} of the forest is empty, expected at least 1 token"
            )));
        }
        let total: u64 = lengths.iter().map(|&n| u64::from(n)).sum();
        if total != tokens.len() as u64 {
            return Err(Error::Input(format!(
                "The segments' lengths add up to {total}, but the forest holds {} tokens",
                tokens.len()
            )));
        }
        for (i, &p) in parents.iter().enumerate() {
            if p < -1 || p >= i as i32 {
                return Err(Error::Input(format!(
                    "Segment {i} has parent \"{p}\", expected -1 or an earlier segment"
                )));
            }
        }
        Ok(Self { tokens, lengths, parents })
    }

    /// A forest of roots: one segment a sequence.
    pub fn flat(sequences: &[Vec<u32>]) -> Result<Self> {
        Self::new(
            sequences.concat(),
            sequences.iter().map(|s| s.len() as u32).collect(),
            vec![-1; sequences.len()],
        )
    }
}

/// One segment, with what attention needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its tokens' indexes in the forest.
    pub tokens: Range<usize>,
    /// Position of its first token on the path from the root.
    pub position: usize,
    /// Segments on the path from the root to its parent, root first.
    pub ancestors: Vec<usize>,
    /// Itself and all segments below it, in segment order.
    pub subtree: Vec<usize>,
}

/// The geometry of a [`Forest`], derived once a pass.
#[derive(Debug, Clone)]
pub struct Layout {
    /// All segments.
    pub segments: Vec<Segment>,
    /// Position of each token on its path.
    pub positions: Vec<u32>,
    /// Index of the token before each on its path; `None` for the first token of a root.
    pub previous: Vec<Option<u32>>,
}

impl Layout {
    /// Walks the forest once.
    pub fn new(forest: &Forest) -> Self {
        let mut segments: Vec<Segment> = Vec::with_capacity(forest.lengths.len());
        let mut positions = Vec::with_capacity(forest.tokens.len());
        let mut previous = Vec::with_capacity(forest.tokens.len());
        let mut start = 0;
        for (i, (&length, &parent)) in forest.lengths.iter().zip(&forest.parents).enumerate() {
            let length = length as usize;
            let (position, before, ancestors) = match usize::try_from(parent) {
                Ok(p) => {
                    let up = &segments[p];
                    let mut ancestors = up.ancestors.clone();
                    ancestors.push(p);
                    (up.position + up.tokens.len(), Some(up.tokens.end as u32 - 1), ancestors)
                }
                Err(_) => (0, None, Vec::new()),
            };
            for &a in &ancestors {
                segments[a].subtree.push(i);
            }
            for t in 0..length {
                positions.push((position + t) as u32);
                previous.push(if t == 0 { before } else { Some((start + t - 1) as u32) });
            }
            segments.push(Segment { tokens: start..start + length, position, ancestors, subtree: vec![i] });
            start += length;
        }
        Self { segments, positions, previous }
    }

    /// Tokens of the longest path.
    pub fn longest_path(&self) -> usize {
        self.segments.iter().map(|s| s.position + s.tokens.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_run_along_the_path() {
        let forest = Forest::new(vec![1, 2, 3, 4, 5, 6], vec![2, 1, 2, 1], vec![-1, 0, 0, 2]).unwrap();
        let layout = Layout::new(&forest);
        assert_eq!(layout.positions, [0, 1, 2, 2, 3, 4]);
        assert_eq!(layout.previous, [None, Some(0), Some(1), Some(1), Some(3), Some(4)]);
        assert_eq!(layout.segments[3].ancestors, [0, 2]);
        assert_eq!(layout.segments[0].subtree, [0, 1, 2, 3]);
        assert_eq!(layout.longest_path(), 5);
    }

    #[test]
    fn a_malformed_forest_is_refused() {
        assert!(Forest::new(vec![1], vec![1], vec![0]).is_err());
        assert!(Forest::new(vec![1], vec![1], vec![-2]).is_err());
        assert!(Forest::new(vec![1], vec![2], vec![-1]).is_err());
        assert!(Forest::new(vec![1], vec![1, 0], vec![-1, 0]).is_err());
        assert!(Forest::new(vec![1], vec![1], vec![]).is_err());
    }
}
