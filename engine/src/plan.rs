//! Which rows the next forward pass takes: plain counters in, row counts out.

/// What a running sequence could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Tokens not yet computed, at least one.
    pub(crate) uncomputed: usize,
    /// Drafted tokens that could be verified behind them: bounded by setting, length limit and context.
    pub(crate) draft_max: usize,
}

/// What it gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Tokens to compute now; 0 when the step is full.
    pub(crate) rows: usize,
    /// Draft rows; 0 unless `rows` reaches the end of the sequence.
    pub(crate) draft_max: usize,
}

/// Splits `max_rows` over `demands`, earlier first: first everyone's own tokens, then what is left for drafts.
pub(crate) fn plan(demands: &[Demand], max_rows: usize) -> Vec<Share> {
    let mut left = max_rows;
    let mut take = |wanted: usize| {
        let taken = wanted.min(left);
        left -= taken;
        taken
    };
    let rows: Vec<usize> = demands.iter().map(|demand| take(demand.uncomputed)).collect();
    let shares = demands.iter().zip(rows).map(|(demand, rows)| {
        let reaches_end = rows == demand.uncomputed;
        Share { rows, draft_max: if reaches_end { take(demand.draft_max) } else { 0 } }
    });
    shares.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(demands: &[(usize, usize)], max_rows: usize, expected: &[(usize, usize)]) {
        let demands: Vec<_> = demands.iter().map(|&(uncomputed, draft_max)| Demand { uncomputed, draft_max }).collect();
        let expected: Vec<_> = expected.iter().map(|&(rows, draft_max)| Share { rows, draft_max }).collect();
        assert_eq!(plan(&demands, max_rows), expected);
    }

    #[test]
    fn a_decoding_sequence_gets_its_row_and_its_draft() {
        check(&[(1, 4)], 512, &[(1, 4)]);
    }

    #[test]
    fn a_long_prompt_is_cut_into_chunks_without_drafts() {
        check(&[(1000, 4)], 512, &[(512, 0)]);
    }

    #[test]
    fn own_tokens_of_all_come_before_drafts_of_any() {
        check(&[(1, 4), (1, 4), (1, 4)], 8, &[(1, 4), (1, 1), (1, 0)]);
    }

    #[test]
    fn a_full_step_leaves_later_sequences_out() {
        check(&[(8, 0), (3, 2)], 8, &[(8, 0), (0, 0)]);
    }

    #[test]
    fn nothing_wanted_is_nothing_planned() {
        check(&[], 8, &[]);
    }
}
