//! Whether drafted samples follow the distribution of plain ones: a permutation test.
//!
//! Each prompt is continued many times plainly and many times with drafts, with noise of their own. At each position
//! the tokens of both groups are counted, and the two-sample chi-square statistic is summed over positions and prompts.
//! If both groups follow one distribution, their labels mean nothing: swapping labels within a prompt gives further
//! draws of the statistic, and the share of them at least as great as the one found is the p-value. It holds for any
//! distribution, few samples, and positions that depend on one another (Fisher 1935; Good 2005, Permutation tests).

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use veridraft_engine::sampling::{NoiseKey, Stream};
use veridraft_engine::{Request, Verification};
use veridraft_models::TokenId;

use super::report::{Distribution, VerifyReport};
use crate::progress::Spinner;
use crate::prompts::DataPrompt;
use crate::set_up::{Generation, SetUp, SetUps};

/// Tokens of a sample, at most: later ones hang on those before, and say less.
const SAMPLE_TOKENS: usize = 8;
/// Relabellings drawn.
const PERMUTATIONS: u32 = 4999;
/// A p-value below it is a difference: one false alarm in a thousand set-ups.
const LEAST_P_VALUE: f64 = 0.001;

/// The tokens of each sample of one prompt.
type Samples = Vec<Vec<TokenId>>;

/// Samples the first turn of every prompt `samples` times, plainly and with each set-up, and tests each set-up.
pub(super) fn test(set_ups: &mut SetUps, prompts: &[DataPrompt], samples: usize) -> Result<VerifyReport> {
    let spinner = Spinner::start();
    let mut sampled: Vec<Vec<Samples>> = vec![Vec::new(); set_ups.cases.len()];
    for (index, prompt) in prompts.iter().enumerate() {
        spinner.say(&format!("prompt {} of {}, {}", index + 1, prompts.len(), prompt.category));
        let mut conversation = set_ups.conversation(prompt);
        let asked = conversation.ask(set_ups.folder())?.context("a prompt has a first turn")?;
        for (case, (set_up, sampled)) in set_ups.cases.iter_mut().zip(&mut sampled).enumerate() {
            sampled.push(sample(set_up, &asked, case, samples)?);
        }
    }
    let tokens = sampled.iter().flatten().flatten().map(Vec::len).sum();
    let (plain, drafted) = sampled.split_first().context("the first case is plain")?;
    let drafts = set_ups.drafts();
    let distribution = |(draft, drafted): (&String, &Vec<Samples>)| {
        let pairs: Vec<_> = plain.iter().zip(drafted).map(|(plain, drafted)| Pair { plain, drafted }).collect();
        let p_value = p_value(&pairs, PERMUTATIONS);
        Distribution { draft: draft.clone(), samples, p_value, differs: p_value < LEAST_P_VALUE }
    };
    let distributions = drafts.iter().zip(drafted).map(distribution).collect();
    Ok(VerifyReport { prompts: prompts.len(), tokens, drafts, distributions, ..VerifyReport::default() })
}

/// The samples of one case. Their noise is that of no other case's samples, as the test wants independent groups.
fn sample(set_up: &mut SetUp, prompt: &[TokenId], case: usize, samples: usize) -> Result<Samples> {
    let one = |index: usize| {
        let mut request = Request { verification: Verification::Rejection, ..set_up.open.request(prompt.to_vec()) };
        request.max_tokens = request.max_tokens.min(SAMPLE_TOKENS);
        request.sampling.sample_index = u32::try_from(case * samples + index)?;
        Ok(Generation::run(&mut set_up.open.engine, request)?.tokens)
    };
    (0..samples).map(one).collect()
}

/// One prompt's samples, as many of each kind.
struct Pair<'a> {
    plain: &'a [Vec<TokenId>],
    drafted: &'a [Vec<TokenId>],
}

/// One prompt's samples without labels.
struct Pooled {
    /// For each position and sample, which of the position's tokens it is; an end before it counts as a token.
    places: Vec<Vec<usize>>,
    /// For each position and token, how many samples have it.
    counts: Vec<Vec<u32>>,
    /// Samples, the first half of which is labelled plain.
    order: Vec<usize>,
}

/// Share of relabellings that are at least as unlike as the labels found, the labels found among them.
fn p_value(pairs: &[Pair], permutations: u32) -> f64 {
    let mut pooled: Vec<_> = pairs.iter().map(Pooled::new).collect();
    let found: f64 = pooled.iter().map(Pooled::statistic).sum();
    let mut as_great = 1;
    for permutation in 0..permutations {
        for (prompt, pooled) in (0..).zip(&mut pooled) {
            pooled.shuffle(permutation, prompt);
        }
        let drawn: f64 = pooled.iter().map(Pooled::statistic).sum();
        // Sums of the same terms in another order may differ in their last bits.
        as_great += u32::from(drawn >= found * (1.0 - 1e-9));
    }
    f64::from(as_great) / f64::from(permutations + 1)
}

impl Pooled {
    fn new(pair: &Pair) -> Self {
        let all: Vec<_> = pair.plain.iter().chain(pair.drafted).collect();
        let longest = all.iter().map(|sample| sample.len()).max().unwrap_or(0);
        let (mut places, mut counts) = (Vec::new(), Vec::new());
        for position in 0..longest {
            let mut numbers = BTreeMap::new();
            let mut place = |sample: &&Vec<TokenId>| {
                let next = numbers.len();
                *numbers.entry(sample.get(position).copied()).or_insert(next)
            };
            let row: Vec<usize> = all.iter().map(&mut place).collect();
            let mut count = vec![0; numbers.len()];
            row.iter().for_each(|&place| count[place] += 1);
            places.push(row);
            counts.push(count);
        }
        Self { places, counts, order: (0..all.len()).collect() }
    }

    /// The chi-square statistic of two groups of one size, summed over positions: with `n` of a token's `t` in the
    /// first group, `(2n - t)^2 / t`.
    fn statistic(&self) -> f64 {
        let group = &self.order[..self.order.len() / 2];
        let position = |(places, counts): (&Vec<usize>, &Vec<u32>)| -> f64 {
            let mut in_group = vec![0u32; counts.len()];
            group.iter().for_each(|&sample| in_group[places[sample]] += 1);
            let term = |(&n, &t): (&u32, &u32)| (2.0 * f64::from(n) - f64::from(t)).powi(2) / f64::from(t);
            in_group.iter().zip(counts).map(term).sum()
        };
        self.places.iter().zip(&self.counts).map(position).sum()
    }

    /// Draws an order, each as likely (Durstenfeld 1964); the same for the same numbers.
    fn shuffle(&mut self, permutation: u32, prompt: u32) {
        for last in (1..self.order.len()).rev() {
            let hash = NoiseKey::new(u64::from(prompt), permutation, last as u32, Stream::Draft).hash(0);
            let other = (u64::from(hash) * (last as u64 + 1)) >> 32;
            self.order.swap(last, other as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of two tokens, the first drawn by `probability` of 1 rather than 0, the second equal to it.
    fn samples(stream: Stream, count: u32, probability: f64) -> Vec<Vec<TokenId>> {
        let uniform = |draw| f64::from(NoiseKey::new(9, 0, draw, stream).hash(0)) / 4_294_967_296.0;
        (0..count).map(|draw| vec![u32::from(uniform(draw) < probability); 2]).collect()
    }

    fn p(plain: &[Vec<TokenId>], drafted: &[Vec<TokenId>]) -> f64 {
        p_value(&[Pair { plain, drafted }], 999)
    }

    #[test]
    fn one_distribution_is_not_told_from_itself() {
        let value = p(&samples(Stream::Target, 200, 0.3), &samples(Stream::Accept, 200, 0.3));
        assert!(value > 0.01, "{value}");
        assert_eq!(p(&[vec![1], vec![2]], &[vec![2], vec![1]]), 1.0);
    }

    #[test]
    fn another_distribution_is_found() {
        let plain = samples(Stream::Target, 200, 0.3);
        assert_eq!(p(&plain, &samples(Stream::Accept, 200, 0.6)), 0.001);
        // One that ends earlier.
        let ended: Vec<_> = plain.iter().map(|sample| sample[..1].to_vec()).collect();
        assert_eq!(p(&plain, &ended), 0.001);
    }

    #[test]
    fn p_values_of_one_distribution_are_uniform() {
        // Positions that hang together must not make false alarms: of 200 tests, a tenth lies below 0.1.
        let test = |seed: u32| {
            let draw = |group: u32| -> Vec<Vec<TokenId>> {
                let token = |draw| NoiseKey::new(u64::from(seed), group, draw, Stream::Target).hash(0) % 4;
                (0..40).map(|draw| vec![token(draw); 8]).collect()
            };
            p_value(&[Pair { plain: &draw(0), drafted: &draw(1) }], 99)
        };
        let low = (0..200).filter(|&seed| test(seed) <= 0.1).count();
        // Mean 20, deviation 4.2.
        assert!((7..=35).contains(&low), "{low}");
    }

    #[test]
    fn nothing_sampled_is_no_difference() {
        assert_eq!(p(&[], &[]), 1.0);
        assert_eq!(p_value(&[], 99), 1.0);
    }
}
