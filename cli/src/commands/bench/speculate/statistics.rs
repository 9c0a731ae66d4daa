//! How sure a speed-up is: the bootstrap over prompts (Efron 1979; percentile interval, Efron and Tibshirani 1993).
//!
//! Prompts are drawn again with replacement, each with all of its turns and with the plain answers beside the drafted
//! ones, so that the pairing of the run is kept.

use veridraft_engine::sampling::{NoiseKey, Stream};

use super::measure::Totals;

/// Samples drawn.
const RESAMPLES: u32 = 2000;
/// Share of them outside the interval, half on each side.
const OUTSIDE: f64 = 0.05;

/// One prompt, or several together: tokens and seconds of decoding, drafted and plain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pair {
    pub(super) tokens: f64,
    pub(super) seconds: f64,
    pub(super) plain_tokens: f64,
    pub(super) plain_seconds: f64,
}

impl Pair {
    pub(super) fn new(drafted: Totals, plain: Totals) -> Self {
        Self {
            tokens: drafted.decode_tokens as f64,
            seconds: drafted.decode.as_secs_f64(),
            plain_tokens: plain.decode_tokens as f64,
            plain_seconds: plain.decode.as_secs_f64(),
        }
    }
}

/// Ratio of tokens a second, drafted to plain, all prompts together; `None` when nothing was decoded.
pub(super) fn speed_up(pairs: impl IntoIterator<Item = Pair>) -> Option<f64> {
    let sum = pairs.into_iter().fold(Pair::default(), |sum, pair| Pair {
        tokens: sum.tokens + pair.tokens,
        seconds: sum.seconds + pair.seconds,
        plain_tokens: sum.plain_tokens + pair.plain_tokens,
        plain_seconds: sum.plain_seconds + pair.plain_seconds,
    });
    let ratio = (sum.tokens / sum.seconds) / (sum.plain_tokens / sum.plain_seconds);
    ratio.is_finite().then_some(ratio)
}

/// The 95 % interval of [`speed_up`]; the same for the same pairs. `None` for fewer than two prompts, which say nothing
/// about others.
pub(super) fn bootstrap_interval(pairs: &[Pair]) -> Option<[f64; 2]> {
    if pairs.len() < 2 {
        return None;
    }
    let mut ratios: Vec<f64> = (0..RESAMPLES).filter_map(|sample| speed_up(resample(pairs, sample))).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * ratios.len().saturating_sub(1) as f64;
        let (below, above) = (ratios.get(place.floor() as usize)?, ratios.get(place.ceil() as usize)?);
        Some(below + (above - below) * place.fract())
    };
    Some([quantile(OUTSIDE / 2.0)?, quantile(1.0 - OUTSIDE / 2.0)?])
}

/// As many pairs as there are, each drawn from all of them.
fn resample(pairs: &[Pair], sample: u32) -> impl Iterator<Item = Pair> {
    (0..pairs.len() as u32).map(move |draw| {
        let hash = NoiseKey::new(0, sample, draw, Stream::Draft).hash(0);
        pairs[((u64::from(hash) * pairs.len() as u64) >> 32) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt of 100 tokens in one plain second.
    fn pair(speed_up: f64) -> Pair {
        Pair { tokens: 100.0, seconds: 1.0 / speed_up, plain_tokens: 100.0, plain_seconds: 1.0 }
    }

    #[test]
    fn a_speed_up_is_the_ratio_of_sums() {
        assert_eq!(speed_up([pair(2.0)]), Some(2.0));
        // 200 tokens in 0.5 s + 1.5 s against 2 s: the mean of 2 and 2/3 would be more.
        let slower = Pair { seconds: 1.5, ..pair(1.0) };
        assert_eq!(speed_up([pair(2.0), slower]), Some(1.0));
        let shorter = Pair { tokens: 50.0, ..pair(1.0) };
        assert_eq!(speed_up([shorter]), Some(0.5));
        assert_eq!(speed_up([]), None);
        assert_eq!(speed_up([Pair::default()]), None);
    }

    #[test]
    fn prompts_that_agree_leave_no_doubt() {
        assert_eq!(bootstrap_interval(&[pair(2.0); 5]), Some([2.0, 2.0]));
        assert_eq!(bootstrap_interval(&[pair(2.0)]), None);
    }

    #[test]
    fn the_interval_is_that_of_the_normal_approximation_for_many_prompts() {
        // Seconds are 1 plus -0.1 or 0.1 in turn: their mean over 400 has a deviation of 0.1 / 20.
        let pairs: Vec<_> = (0..400).map(|n| pair(1.0 / (0.9 + 0.2 * f64::from(n % 2)))).collect();
        let [low, high] = bootstrap_interval(&pairs).expect("many prompts");
        assert!((low - (1.0 - 1.96 * 0.005)).abs() < 1e-3, "{low}");
        assert!((high - (1.0 + 1.96 * 0.005)).abs() < 1e-3, "{high}");
        assert_eq!(bootstrap_interval(&pairs), Some([low, high]));
    }

    #[test]
    fn a_resample_draws_every_prompt_about_as_often() {
        let pairs: Vec<_> = (0..5).map(|n| pair(f64::from(n) + 1.0)).collect();
        let drawn: Vec<_> = (0..RESAMPLES).flat_map(|sample| resample(&pairs, sample)).collect();
        for pair in &pairs {
            let count = drawn.iter().filter(|drawn| *drawn == pair).count();
            // 10000 draws: mean 2000, deviation 40.
            assert!((1840..=2160).contains(&count), "{count}");
        }
    }
}
