//! Which rows of the input are this run's: `--limit N` and `--shard I/N`.

use std::num::NonZeroUsize;
use std::str::FromStr;

/// The rows of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Rows of the input that count at all, from the first on.
    pub(super) limit: Option<NonZeroUsize>,
    /// Which of those.
    pub(super) shard: Shard,
}

/// Every `count`-th row. Shards of one input are disjoint and together all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// From 0.
    index: usize,
    count: usize,
}

impl Selection {
    /// Whether the input's row of that number, from 0, is behind the limit.
    pub(super) fn ends_before(&self, row: usize) -> bool {
        self.limit.is_some_and(|limit| row >= limit.get())
    }

    /// Whether it is one of this run's.
    pub(super) fn has(&self, row: usize) -> bool {
        !self.ends_before(row) && row % self.shard.count == self.shard.index
    }

    /// The place of one of this run's rows among them.
    pub(super) fn place(&self, row: usize) -> usize {
        row / self.shard.count
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse::<usize>().ok()?)));
        match numbers {
            Some((number, count)) if (1..=count).contains(&number) => Ok(Self { index: number - 1, count }),
            _ => Err(format!("`{text}` is no shard, expected I/N with I from 1 to N, such as 1/4")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_disjoint_and_cover() {
        for count in 1..7 {
            let shards: Vec<Shard> = (1..=count).map(|i| format!("{i}/{count}").parse().expect("a shard")).collect();
            for row in 0..40 {
                let limit = NonZeroUsize::new(31);
                let takers = shards.iter().filter(|&&shard| Selection { limit, shard }.has(row)).count();
                assert_eq!(takers, usize::from(row < 31), "row {row} of {count} shards");
            }
            for shard in shards {
                let selection = Selection { limit: None, shard };
                let places: Vec<_> =
                    (0..40).filter(|&row| selection.has(row)).map(|row| selection.place(row)).collect();
                assert_eq!(places, (0..places.len()).collect::<Vec<_>>());
            }
        }
        assert!((0..9).all(|row| Selection::default().has(row)));
    }

    #[test]
    fn shards_count_from_one() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(text.parse::<Shard>().ok().map(|shard| shard.to_string()).as_deref(), expected, "{text}");
        };
        check("1/1", Some("1/1"));
        check("3/4", Some("3/4"));
        check("0/4", None);
        check("5/4", None);
        check("1/0", None);
        check("1", None);
        check("-1/4", None);
        check("a/b", None);
        check("1/4/2", None);
    }
}
