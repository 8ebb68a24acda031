//! Which elements dropout keeps.

use crate::philox::philox;

/// Elements that one call of the generator decides.
pub(super) const RUN: usize = 4;

/// A mask of dropout. Whether it keeps an element is a function of what the mask is named by and of the element's index
/// alone, so that backward draws it again instead of keeping it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mask {
    key: [u32; 2],
    place: [u32; 2],
    rate: f64,
}

impl Mask {
    /// A mask that drops this share of the elements, at least 0 and below 1. `key` names the pass, and `place` the
    /// layer and the matrix within it.
    pub fn new(key: [u32; 2], place: [u32; 2], rate: f64) -> Self {
        Self { key, place, rate }
    }

    /// The key and the upper half of the generator's counter.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn words(&self) -> [[u32; 2]; 2] {
        [self.key, self.place]
    }

    /// Random words of elements [`RUN`] · `run` to [`RUN`] · (`run` + 1).
    pub(super) fn draw(&self, run: u64) -> [u32; RUN] {
        philox([run as u32, (run >> 32) as u32, self.place[0], self.place[1]], self.key)
    }

    /// Elements with a word below it are dropped.
    pub(super) fn threshold(&self) -> u32 {
        (self.rate * 2.0_f64.powi(32)) as u32
    }

    /// 1 / (1 − rate)
    pub(super) fn factor(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_dropped_is_the_rate_at_every_place() {
        for (rate, place) in [(0.0, [0, 0]), (0.1, [0, 1]), (0.5, [7, 2]), (0.9, [31, 6])] {
            let mask = Mask::new([3, 4], place, rate);
            let words: Vec<u32> = (0..5000).flat_map(|run| mask.draw(run)).collect();
            let dropped = words.iter().filter(|&&word| word < mask.threshold()).count();
            assert!((dropped as f64 / words.len() as f64 - rate).abs() < 0.02, "{rate}: {dropped}");
        }
    }

    #[test]
    fn masks_of_another_name_differ() {
        let draws = |key, place| Mask::new(key, place, 0.5).draw(9);
        let all =
            [draws([1, 2], [3, 4]), draws([1, 3], [3, 4]), draws([1, 2], [2, 4]), draws([1, 2], [3, 3])];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}
