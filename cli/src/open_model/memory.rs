//! One budget of bytes for the KV caches of all models.

use anyhow::Result;
use veridraft_models::{AnyModel, UnsizedAnyModel};

use super::name_the_flag;

/// Gives each model its share of `budget`: room for as many tokens as each other, for they compute the same texts.
/// Without a budget each has the room of its own context.
pub(crate) fn size(models: Vec<UnsizedAnyModel>, budget: Option<u64>) -> Result<Vec<AnyModel>> {
    let token_bytes: Vec<_> = models.iter().map(UnsizedAnyModel::token_bytes).collect();
    let shares = shares(&token_bytes, budget);
    models.into_iter().zip(shares).map(|(model, share)| model.with_memory(share).map_err(name_the_flag)).collect()
}

fn shares(token_bytes: &[usize], budget: Option<u64>) -> Vec<Option<u64>> {
    let all: u128 = token_bytes.iter().map(|&bytes| bytes as u128).sum();
    let share = |bytes: usize, budget: u64| (u128::from(budget) * bytes as u128 / all) as u64;
    token_bytes.iter().map(|&bytes| budget.map(|budget| share(bytes, budget))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_split_into_room_for_as_many_tokens_for_each() {
        let check = |token_bytes: &[usize], budget: u64, expected: &[u64]| {
            let found = shares(token_bytes, Some(budget));
            assert_eq!(found, expected.iter().copied().map(Some).collect::<Vec<_>>());
            assert!(expected.iter().sum::<u64>() <= budget);
        };
        check(&[100], 1234, &[1234]);
        check(&[300, 100], 4000, &[3000, 1000]);
        check(&[300, 100], 4103, &[3077, 1025]);
        check(&[1 << 40, 1 << 40], u64::MAX, &[u64::MAX / 2; 2]);
        assert_eq!(shares(&[300, 100], None), [None, None]);
    }
}
