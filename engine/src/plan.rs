//! Which rows the next forward pass takes: plain counters in, row counts out.

/// Splits `max_rows` over sequences with so many tokens to compute, at least one each: first a row for everyone who
/// decodes, so that a long prompt delays nobody, then prompts, earlier first and in chunks.
///
/// Returns how many tokens each computes now; 0 when the step is full.
pub(crate) fn plan(uncomputed: &[usize], max_rows: usize) -> Vec<usize> {
    let mut left = max_rows;
    let mut rows = vec![0; uncomputed.len()];
    let decodes = |index: &usize| uncomputed[*index] == 1;
    let order = (0..rows.len()).filter(decodes).chain((0..rows.len()).filter(|index| !decodes(index)));
    for index in order {
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
    fn nothing_wanted_is_nothing_planned() {
        check(&[], 8, &[]);
    }
}
