//! Prompts as a forest: what several prompts begin with alike is one segment.

use crate::forest::Forest;

use std::collections::HashMap;

struct Node {
    tokens: Vec<u32>,
    parent: Option<usize>,
    children: Vec<usize>,
}

/// A forest of prompts.
pub struct Prompts {
    /// Segments in an order where parents come first.
    pub forest: Forest,
    /// The segment at whose end each prompt ends.
    pub leaves: Vec<usize>,
}

#[derive(Default)]
struct Trie {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    /// The child of a node, or the root, that begins with a token: a system prompt may have thousands of children.
    begins: HashMap<(Option<usize>, u32), usize>,
}

impl Trie {
    /// Adds a child to a node, or a root.
    fn add(&mut self, parent: Option<usize>, tokens: Vec<u32>, children: Vec<usize>) -> usize {
        let new = self.nodes.len();
        self.begins.insert((parent, tokens[0]), new);
        self.nodes.push(Node { tokens, parent, children });
        parent.map_or(&mut self.roots, |n| &mut self.nodes[n].children).push(new);
        new
    }

    fn insert(&mut self, prompt: &[u32]) {
        let mut rest = prompt;
        let mut at: Option<usize> = None;
        while let Some(&first) = rest.first() {
            let Some(&next) = self.begins.get(&(at, first)) else {
                self.add(at, rest.to_vec(), Vec::new());
                return;
            };
            let common = self.nodes[next].tokens.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < self.nodes[next].tokens.len() {
                self.split(next, common);
            }
            rest = &rest[common..];
            at = Some(next);
        }
    }

    /// Keeps the first tokens in the node and moves the others to a new child.
    fn split(&mut self, node: usize, keep: usize) {
        let tail = self.nodes[node].tokens.split_off(keep);
        let children = std::mem::take(&mut self.nodes[node].children);
        for &c in &children {
            self.begins.remove(&(Some(node), self.nodes[c].tokens[0]));
        }
        let new = self.add(Some(node), tail, children.clone());
        for c in children {
            self.nodes[c].parent = Some(new);
            self.begins.insert((Some(new), self.nodes[c].tokens[0]), c);
        }
    }

    /// The node at whose end a prompt of the finished trie ends.
    fn end(&self, prompt: &[u32]) -> Option<usize> {
        let (mut at, mut read) = (None, 0);
        while let Some(&next) = prompt.get(read) {
            let node = *self.begins.get(&(at, next))?;
            at = Some(node);
            read += self.nodes[node].tokens.len();
        }
        at
    }
}

/// Shares every common prefix. Segments are cut only where prompts part or end; no prompt is empty.
pub fn share(prompts: &[&[u32]]) -> Prompts {
    let mut trie = Trie::default();
    prompts.iter().for_each(|prompt| trie.insert(prompt));
    let nodes = &trie.nodes;
    let mut order = Vec::with_capacity(nodes.len());
    let mut stack: Vec<usize> = trie.roots.iter().rev().copied().collect();
    while let Some(n) = stack.pop() {
        order.push(n);
        stack.extend(nodes[n].children.iter().rev());
    }
    let mut place = vec![0; nodes.len()];
    for (i, &n) in order.iter().enumerate() {
        place[n] = i;
    }
    let forest = Forest {
        tokens: order.iter().flat_map(|&n| nodes[n].tokens.iter().copied()).collect(),
        lengths: order.iter().map(|&n| nodes[n].tokens.len() as u32).collect(),
        parents: order.iter().map(|&n| nodes[n].parent.map_or(-1, |p| place[p] as i32)).collect(),
    };
    let leaves = prompts.iter().filter_map(|prompt| trie.end(prompt).map(|n| place[n])).collect();
    Prompts { forest, leaves }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Layout;
    use proptest::prelude::*;

    fn path(prompts: &Prompts, leaf: usize) -> Vec<u32> {
        let layout = Layout::new(&prompts.forest);
        let segment = &layout.segments[leaf];
        let chain = segment.ancestors.iter().chain([&leaf]);
        chain.flat_map(|&s| prompts.forest.tokens[layout.segments[s].tokens.clone()].to_vec()).collect()
    }

    #[test]
    fn a_prompt_that_is_a_prefix_of_another_ends_where_it_ends() {
        let shared = share(&[&[1, 2, 3, 4], &[1, 2], &[1, 2, 5], &[6], &[1, 2, 3, 4]]);
        assert_eq!(shared.forest.tokens.len(), 6);
        assert_eq!(path(&shared, shared.leaves[1]), [1, 2]);
        assert_eq!(shared.leaves[0], shared.leaves[4]);
    }

    proptest! {
        #[test]
        fn each_path_reads_back(prompts in prop::collection::vec(prop::collection::vec(0_u32..3, 1..12), 1..12)) {
            let slices: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            let shared = share(&slices);
            let Forest { tokens, lengths, parents } = shared.forest.clone();
            prop_assert!(Forest::new(tokens, lengths, parents).is_ok());
            for (prompt, &leaf) in prompts.iter().zip(&shared.leaves) {
                prop_assert_eq!(&path(&shared, leaf), prompt);
            }
            // A trie holds each distinct prefix once.
            let prefixes: std::collections::BTreeSet<&[u32]> =
                prompts.iter().flat_map(|p| (1..=p.len()).map(|n| &p[..n])).collect();
            prop_assert_eq!(shared.forest.tokens.len(), prefixes.len());
        }
    }
}
