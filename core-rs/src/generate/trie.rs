//! Prompts as a forest: what several prompts begin with alike is one segment.

use crate::forest::Forest;

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

/// Shares every common prefix. Segments are cut only where prompts part or end; no prompt is empty.
pub fn share(prompts: &[&[u32]]) -> Prompts {
    let mut nodes: Vec<Node> = Vec::new();
    let mut roots: Vec<usize> = Vec::new();
    for prompt in prompts {
        let mut rest = *prompt;
        let mut at: Option<usize> = None;
        while let Some(&first) = rest.first() {
            let siblings = at.map_or(&roots, |n| &nodes[n].children);
            let Some(next) = child(&nodes, siblings, first) else {
                let new = nodes.len();
                nodes.push(Node { tokens: rest.to_vec(), parent: at, children: Vec::new() });
                at.map_or(&mut roots, |n| &mut nodes[n].children).push(new);
                break;
            };
            let common = nodes[next].tokens.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < nodes[next].tokens.len() {
                split(&mut nodes, next, common);
            }
            rest = &rest[common..];
            at = Some(next);
        }
    }
    let mut order = Vec::with_capacity(nodes.len());
    let mut stack: Vec<usize> = roots.iter().rev().copied().collect();
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
    let leaves = prompts.iter().filter_map(|prompt| end(&nodes, &roots, prompt).map(|n| place[n])).collect();
    Prompts { forest, leaves }
}

/// The sibling that begins with this token.
fn child(nodes: &[Node], siblings: &[usize], first: u32) -> Option<usize> {
    siblings.iter().copied().find(|&n| nodes[n].tokens[0] == first)
}

/// The node at whose end a prompt of the finished trie ends.
fn end(nodes: &[Node], roots: &[usize], prompt: &[u32]) -> Option<usize> {
    let mut at = child(nodes, roots, *prompt.first()?)?;
    let mut read = nodes[at].tokens.len();
    while let Some(&next) = prompt.get(read) {
        at = child(nodes, &nodes[at].children, next)?;
        read += nodes[at].tokens.len();
    }
    Some(at)
}

/// Keeps the first tokens in the node and moves the others to a new child.
fn split(nodes: &mut Vec<Node>, node: usize, keep: usize) {
    let tail = nodes[node].tokens.split_off(keep);
    let new = nodes.len();
    let children = std::mem::replace(&mut nodes[node].children, vec![new]);
    for &c in &children {
        nodes[c].parent = Some(new);
    }
    nodes.push(Node { tokens: tail, parent: Some(node), children });
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
