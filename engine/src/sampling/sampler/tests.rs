//! The sampler against a slow obvious model, and its distribution against softmax.

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::noise::gumbel;
use super::super::processors::weight;
use super::*;

/// Sorts everything, sums everything, and computes every Gumbel number.
fn slow_sample(logits: &[f32], config: &SamplingConfig, position: u32) -> TokenId {
    let mut logits: Vec<f32> = logits.iter().map(|&l| if l.is_nan() { f32::NEG_INFINITY } else { l }).collect();
    if logits.contains(&f32::INFINITY) {
        logits.iter_mut().for_each(|l| *l = if *l == f32::INFINITY { 0.0 } else { f32::NEG_INFINITY });
    }
    let mut ranked: Vec<usize> = (0..logits.len()).collect();
    ranked.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap().then(a.cmp(&b)));
    if config.temperature == 0.0 || logits[ranked[0]] == f32::NEG_INFINITY {
        return ranked[0] as TokenId;
    }
    let scale = Scale { greatest: logits[ranked[0]], temperature: config.temperature };
    if config.top_k > 0 {
        ranked.truncate(config.top_k);
    }
    if config.top_p < 1.0 {
        let weights: Vec<u64> = ranked.iter().map(|&t| u64::from(weight(logits[t], scale))).collect();
        let target = (weights.iter().sum::<u64>() as f64 * f64::from(config.top_p)).ceil() as u64;
        let mut sum = 0;
        let count = weights.iter().take_while(|&&w| (sum < target, sum += w).0).count();
        ranked.truncate(count);
    }
    let floor = f64::from(scale.greatest) + f64::from(scale.temperature) * f64::from(config.min_p).ln();
    ranked.retain(|&t| f64::from(logits[t]) >= floor);
    let key = NoiseKey::new(config.seed, config.sample_index, position, Stream::Target);
    let score = |t: usize| scale.scaled(logits[t]) + gumbel(key.hash(t as TokenId));
    let best = ranked.iter().map(|&t| score(t)).fold(f64::NEG_INFINITY, f64::max);
    ranked.into_iter().filter(|&t| score(t) == best).min().unwrap() as TokenId
}

fn check(logits: &[f32], config: &SamplingConfig, position: u32) {
    let mut sampler = Sampler::new(config.clone()).unwrap();
    let found = sampler.sample(logits, &History::new(config), position);
    assert_eq!(found, slow_sample(logits, config, position), "{config:?}");
}

fn adversarial_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        20 => -20f32..20.0,
        10 => (-6i32..6).prop_map(|n| n as f32),
        2 => Just(f32::NEG_INFINITY),
        1 => Just(f32::NAN),
        1 => prop_oneof![Just(f32::MAX), Just(f32::MIN), Just(-0.0f32), Just(1e-40f32), Just(1e30f32)],
    ]
}

fn config() -> impl Strategy<Value = SamplingConfig> {
    let temperature = prop_oneof![
        Just(0f32),
        Just(1e-6f32),
        Just(1e-45f32),
        Just(0.8f32),
        Just(1f32),
        Just(1e6f32),
        Just(f32::MAX),
        0.01f32..3.0
    ];
    let top_k = prop_oneof![Just(0usize), 1usize..12, 1usize..400];
    let top_p = prop_oneof![Just(1f32), 0.001f32..1.0, Just(1e-30f32), Just(0.999_999_94f32)];
    let min_p = prop_oneof![Just(0f32), 0f32..=1.0, 0f32..0.01, Just(1f32)];
    let fields = (temperature, top_k, top_p, min_p, any::<u64>(), any::<u32>());
    fields.prop_map(|(temperature, top_k, top_p, min_p, seed, sample_index)| SamplingConfig {
        temperature,
        top_k,
        top_p,
        min_p,
        seed,
        sample_index,
        ..Default::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_logits_give_the_token_of_the_slow_model(
        logits in prop::collection::vec(adversarial_logit(), 1..300),
        infinite in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        has_infinite in prop::bool::weighted(0.1),
        config in config(),
        position: u32,
    ) {
        let mut logits = logits;
        if has_infinite {
            infinite.iter().for_each(|index| *index.get_mut(&mut logits) = f32::INFINITY);
        }
        check(&logits, &config, position);
    }

    #[test]
    fn equal_logits_give_the_token_of_the_slow_model(count in 1usize..300, logit in adversarial_logit(), config in config()) {
        check(&vec![logit; count], &config, 3);
    }
}

#[test]
fn a_far_token_wins_when_its_noise_is_extreme() {
    // A token 15 below a crowd at the same logit wins rarely; the slow model must agree also then.
    let mut winners = HashSet::new();
    let config = SamplingConfig { temperature: 1.0, ..Default::default() };
    let mut logits = vec![-6.0f32; 2000];
    logits[1000] = 0.0;
    let mut sampler = Sampler::new(config.clone()).unwrap();
    for position in 0..2000 {
        let token = sampler.sample(&logits, &History::new(&config), position);
        assert_eq!(token, slow_sample(&logits, &config, position));
        winners.insert(token);
    }
    assert!(winners.len() > 500);
}

/// The deviation of the counts' chi-square from its mean, in standard deviations.
fn deviation(counts: &[u32], probabilities: &[f64]) -> f64 {
    let draws: u32 = counts.iter().sum();
    let terms = counts.iter().zip(probabilities).map(|(&count, p)| {
        let expected = p * f64::from(draws);
        (f64::from(count) - expected).powi(2) / expected
    });
    let freedom = (counts.len() - 1) as f64;
    (terms.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

const LOGITS: [f32; 8] = [1.0, 0.0, 2.0, -1.0, 0.5, 0.5, -2.0, 1.5];

fn draws(config: &SamplingConfig, positions: std::ops::Range<u32>) -> Vec<TokenId> {
    let mut sampler = Sampler::new(config.clone()).unwrap();
    let history = History::new(config);
    positions.map(|position| sampler.sample(&LOGITS, &history, position)).collect()
}

#[test]
fn tokens_follow_the_softmax_over_positions_seeds_and_samples() {
    let config = SamplingConfig { temperature: 0.8, ..Default::default() };
    let over_positions = draws(&config, 0..100_000);
    let other = |seed, sample_index| draws(&SamplingConfig { seed, sample_index, ..config.clone() }, 5..6)[0];
    let over_seeds = (0..100_000).map(|seed| other(seed, 0)).collect();
    let over_samples = (0..100_000).map(|sample| other(0, sample)).collect();
    for tokens in [over_positions, over_seeds, over_samples] {
        let mut counts = [0; 8];
        tokens.iter().for_each(|&token| counts[token as usize] += 1);
        assert!(deviation(&counts, &softmax(&LOGITS, 0.8)).abs() < 4.0, "{counts:?}");
    }
}

#[test]
fn tokens_at_neighbouring_positions_are_independent() {
    let tokens = draws(&SamplingConfig { temperature: 1.0, seed: 9, ..Default::default() }, 0..200_000);
    let single = softmax(&LOGITS, 1.0);
    let both: Vec<f64> = (0..64).map(|pair| single[pair / 8] * single[pair % 8]).collect();
    for distance in [1, 2, 16] {
        let mut counts = [0; 64];
        tokens.iter().zip(&tokens[distance..]).for_each(|(&a, &b)| counts[(a * 8 + b) as usize] += 1);
        assert!(deviation(&counts, &both).abs() < 4.0, "distance {distance}");
    }
}

#[test]
fn penalties_act_before_everything_else() {
    let config = SamplingConfig { frequency_penalty: 1.0, ..Default::default() };
    let mut history = History::new(&config);
    let mut sampler = Sampler::new(config).unwrap();
    let mut sample = |history: &History| sampler.sample(&[3.0, 2.5, 1.0], history, 7);
    assert_eq!(sample(&history), 0);
    history.extend_prompt(&[0, 0]);
    assert_eq!(sample(&history), 0);
    history.push_output(0);
    assert_eq!(sample(&history), 1);
    history.push_output(1);
    assert_eq!(sample(&history), 0);
}

#[test]
fn no_logits_worth_having_give_the_lowest_token() {
    for temperature in [0.0, 1.0] {
        let config = SamplingConfig { temperature, top_p: 0.5, ..Default::default() };
        let mut sampler = Sampler::new(config.clone()).unwrap();
        for logits in [&[][..], &[f32::NEG_INFINITY; 3], &[f32::NAN; 70], &[f32::NAN, f32::NEG_INFINITY]] {
            assert_eq!(sampler.sample(logits, &History::new(&config), 0), 0);
        }
    }
}

/// `cargo test --release -p veridraft-engine --lib -- --ignored --nocapture sampling_time`
#[test]
#[ignore = "prints times, proves nothing"]
fn sampling_time() {
    for vocabulary in [49_152u32, 151_936] {
        // Logits of a typical spread: standard deviation about 3 around a mean 12 below the best.
        let key = NoiseKey::new(1, 0, 0, Stream::Draft);
        let normal = |token| (0..12).map(|n| f64::from(key.hash(token * 12 + n)) / 4_294_967_296.0).sum::<f64>() - 6.0;
        let logits: Vec<f32> = (0..vocabulary).map(|token| 3.0 * normal(token) as f32).collect();
        let warm = SamplingConfig { temperature: 0.8, ..Default::default() };
        let repetition = SamplingConfig { repetition_penalty: 1.1, ..warm.clone() };
        time("greedy", &logits, &SamplingConfig::default());
        time("no cut-offs", &logits, &warm);
        time("penalised", &logits, &repetition);
        time("top-k 50", &logits, &SamplingConfig { top_k: 50, ..warm.clone() });
        time("top-p 0.9", &logits, &SamplingConfig { top_p: 0.9, ..warm.clone() });
        time("top-p 0.9 flat", &vec![1.0; vocabulary as usize], &SamplingConfig { top_p: 0.9, ..warm.clone() });
        time("top-k 50 top-p 0.9", &logits, &SamplingConfig { top_k: 50, top_p: 0.9, ..warm.clone() });
        time("min-p 0.05", &logits, &SamplingConfig { min_p: 0.05, ..warm });
    }
}

fn time(name: &str, logits: &[f32], config: &SamplingConfig) {
    let mut sampler = Sampler::new(config.clone()).unwrap();
    let mut history = History::new(config);
    history.extend_prompt(&(0..1000).collect::<Vec<_>>());
    let mut times: Vec<_> = (0..500)
        .map(|position| {
            let start = std::time::Instant::now();
            std::hint::black_box(sampler.sample(std::hint::black_box(logits), &history, position));
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{:>6} {name}: best {:?}, median {:?}", logits.len(), times[0], times[250]);
}
