//! The worst predictions of many, of which only those are kept.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Keeps the items of the lowest log-probabilities; of equals those that came first.
#[derive(Clone, Debug)]
pub struct Worst<T> {
    most: usize,
    /// How many came.
    seen: usize,
    /// The one to be given up next is the greatest.
    kept: BinaryHeap<Entry<T>>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    logprob: f64,
    number: usize,
    item: T,
}

impl<T> Worst<T> {
    /// Keeps `most` items at most.
    pub fn new(most: usize) -> Self {
        Self { most, seen: 0, kept: BinaryHeap::new() }
    }

    /// Sees an item; makes it only if it is to be kept for now.
    pub fn push(&mut self, logprob: f64, item: impl FnOnce() -> T) {
        self.seen += 1;
        let is_full = self.kept.len() == self.most;
        if is_full && self.kept.peek().is_none_or(|best| logprob.total_cmp(&best.logprob).is_ge()) {
            return;
        }
        if is_full {
            self.kept.pop();
        }
        self.kept.push(Entry { logprob, number: self.seen, item: item() });
    }

    /// What is kept, the worst first.
    pub fn into_vec(self) -> Vec<T> {
        self.kept.into_sorted_vec().into_iter().map(|entry| entry.item).collect()
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.logprob.total_cmp(&other.logprob).then(self.number.cmp(&other.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_the_start_of_the_sorted_whole(steps in vec(0..9_u8, 0..60), most in 0..12_usize) {
            let mut worst = Worst::new(most);
            let mut all: Vec<_> = steps.iter().map(|&step| -f64::from(step)).enumerate().collect();
            for &(index, logprob) in &all {
                worst.push(logprob, || index);
            }
            all.sort_by(|one, other| one.1.total_cmp(&other.1));
            let expected: Vec<_> = all.iter().take(most).map(|(index, _)| *index).collect();
            prop_assert_eq!(worst.into_vec(), expected);
        }
    }
}
