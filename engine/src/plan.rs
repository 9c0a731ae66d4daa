//! Which rows the next forward pass takes: plain counters in, row counts out.

/// Splits `max_rows` over sequences with so many tokens to compute, at least one each: first a row for everyone who
/// decodes, so that a long prompt delays nobody, then prompts, earlier first and in chunks. One row is kept for the first
/// prompt, so that those who decode do not delay it for ever.
///
/// Returns how many tokens each computes now; 0 when the step is full.
pub(crate) fn plan(uncomputed: &[usize], max_rows: usize) -> Vec<usize> {
    let has_prompt = uncomputed.iter().any(|&tokens| tokens > 1);
    let kept = usize::from(has_prompt && max_rows > 1);
    let mut left = max_rows - kept;
    let mut rows = vec![0; uncomputed.len()];
    let decodes = |index: &usize| uncomputed[*index] == 1;
    for index in (0..rows.len()).filter(decodes) {
        rows[index] = 1.min(left);
        left -= rows[index];
    }
    left += kept;
    for index in (0..rows.len()).filter(|index| !decodes(index)) {
        rows[index] = uncomputed[index].min(left);
        left -= rows[index];
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uncomputed: &[usize], max_rows: usize, expected: &[usize]) {
        assert_eq!(plan(uncomputed, max_rows), expected);
    }

    #[test]
    fn a_long_prompt_is_cut_into_chunks() {
        check(&[1000], 512, &[512]);
    }

    #[test]
    fn those_who_decode_come_before_prompts() {
        check(&[100, 1, 100, 1], 64, &[62, 1, 0, 1]);
    }

    #[test]
    fn earlier_prompts_come_first() {
        check(&[8, 3], 8, &[8, 0]);
        check(&[8, 3], 10, &[8, 2]);
    }

    #[test]
    fn those_who_decode_leave_a_row_for_a_prompt() {
        check(&[1, 1, 5, 1], 3, &[1, 1, 1, 0]);
        check(&[1, 5], 1, &[1, 0]);
        check(&[1, 1], 1, &[1, 0]);
    }

    #[test]
    fn nothing_wanted_is_nothing_planned() {
        check(&[], 8, &[]);
    }
}
