//! The model against the formula over maps, and hostile bytes against the checks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use veridraft_models::TokenId;

use super::*;

type Text = Vec<Vec<TokenId>>;

/// The formula of the module's first lines, with n-grams counted one by one.
struct Reference {
    order: usize,
    vocabulary: usize,
    counts: BTreeMap<Vec<TokenId>, u32>,
    discounts: Vec<[f64; 3]>,
}

impl Reference {
    fn new(text: &Text, order: usize, vocabulary: usize) -> Self {
        let mut counts: BTreeMap<Vec<TokenId>, u32> = BTreeMap::new();
        let mut neighbours: BTreeMap<Vec<TokenId>, BTreeSet<Option<TokenId>>> = BTreeMap::new();
        for document in text {
            for (start, end) in
                (0..document.len()).flat_map(|start| (start + 1..=document.len()).map(move |end| (start, end)))
            {
                let ngram = document[start..end].to_vec();
                if ngram.len() == order {
                    *counts.entry(ngram).or_default() += 1;
                } else if ngram.len() < order {
                    neighbours.entry(ngram).or_default().insert(start.checked_sub(1).map(|before| document[before]));
                }
            }
        }
        counts.extend(neighbours.into_iter().map(|(ngram, before)| (ngram, before.len() as u32)));
        let discounts = (1..=order).map(|order| Self::discounts(&counts, order)).collect();
        Self { order, vocabulary, counts, discounts }
    }

    fn discounts(counts: &BTreeMap<Vec<TokenId>, u32>, order: usize) -> [f64; 3] {
        let having =
            |wanted| counts.iter().filter(|(ngram, count)| ngram.len() == order && **count == wanted).count() as f64;
        let (n1, n2, n3, n4) = (having(1), having(2), having(3), having(4));
        let fallback = [0.5, 1.0, 1.5];
        if n1 * n2 * n3 == 0.0 {
            return fallback;
        }
        let y = n1 / (n1 + 2.0 * n2);
        let [d1, d2, d3] = [1.0 - 2.0 * y * n2 / n1, 2.0 - 3.0 * y * n3 / n2, 3.0 - 4.0 * y * n4 / n3];
        let is_sound = d1 > 0.0 && d1 < 1.0 && d2 > 0.0 && d2 < 2.0 && d3 > 0.0 && d3 < 3.0;
        if is_sound { [d1, d2, d3] } else { fallback }
    }

    fn probability(&self, context: &[TokenId], token: TokenId) -> f64 {
        let context = &context[context.len().saturating_sub(self.order - 1)..];
        let shorter = match context {
            [] => 1.0 / self.vocabulary as f64,
            [_, shorter @ ..] => self.probability(shorter, token),
        };
        let followed = |ngram: &[TokenId]| ngram.len() == context.len() + 1 && ngram.starts_with(context);
        let followers: Vec<_> = self.counts.iter().filter(|(ngram, _)| followed(ngram)).collect();
        if followers.is_empty() {
            return shorter;
        }
        let discount = |count: u32| self.discounts[context.len()][count.min(3) as usize - 1];
        let total: f64 = followers.iter().map(|(_, count)| f64::from(**count)).sum();
        let taken: f64 = followers.iter().map(|(_, count)| discount(**count)).sum();
        let own = followers.iter().find(|(ngram, _)| ngram.last() == Some(&token));
        let own = own.map_or(0.0, |(_, count)| f64::from(**count) - discount(**count));
        own / total + taken / total * shorter
    }
}

fn trained(text: &Text, order: usize, vocabulary: usize) -> NgramModel<Vec<u8>> {
    train(text, &NgramConfig { order, vocabulary, tokenizer: [7; 32] }).expect("the text is sound")
}

/// Texts that repeat themselves: few tokens, in documents of any length.
fn texts(tokens: TokenId) -> impl Strategy<Value = Text> {
    vec(vec(0..tokens, 0..24), 0..6)
}

/// A text in which likely tokens are much likelier than others, `0..tokens`, from a fixed seed.
fn skewed_text(length: usize, tokens: u32) -> Vec<TokenId> {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let mut last = 0;
    let mut next = || {
        // Half of the tokens depend on the one before them.
        let jump = (f64::from(tokens).powf(random()) - 1.0) as u32;
        last = if random() < 0.5 { (last * 7 + jump / 4) % tokens } else { jump };
        last
    };
    (0..length).map(|_| next()).collect()
}

const VOCABULARY: usize = 7;

proptest! {
    #[test]
    fn probabilities_are_those_of_the_formula(text in texts(5), order in 1..=MAX_ORDER, context in vec(0_u32..6, 0..7)) {
        let (model, reference) = (trained(&text, order, VOCABULARY), Reference::new(&text, order, VOCABULARY));
        // One context of the text's own, and one that most often is not.
        let seen = text.iter().max_by_key(|document| document.len()).cloned().unwrap_or_default();
        for context in [&context, &seen] {
            for token in 0..VOCABULARY as u32 {
                let (found, expected) = (model.probability(context, token), reference.probability(context, token));
                prop_assert!((found - expected).abs() < 1e-6, "{token} behind {context:?}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn probabilities_add_up_to_one(text in texts(6), order in 1..=MAX_ORDER, context in vec(0_u32..9, 0..6)) {
        let model = trained(&text, order, VOCABULARY);
        let starts = text.iter().flat_map(|document| (0..document.len()).map(|end| &document[..end]));
        for context in starts.chain([&context[..]]) {
            let all: Vec<_> = (0..VOCABULARY as u32).map(|token| model.probability(context, token)).collect();
            prop_assert!(all.iter().all(|&probability| probability > 0.0), "{context:?}: {all:?}");
            prop_assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{context:?}: {all:?}");
        }
    }

    #[test]
    fn perplexity_is_that_of_the_formula(
        text in texts(6), order in 1..=MAX_ORDER, documents in vec(vec(0..VOCABULARY as TokenId, 0..12), 0..4),
    ) {
        let (model, reference) = (trained(&text, order, VOCABULARY), Reference::new(&text, order, VOCABULARY));
        let log = |document: &[TokenId], end: usize| reference.probability(&document[..end], document[end]).ln();
        for document in text.iter().chain(&documents) {
            let sum: f64 = (0..document.len()).map(|end| log(document, end)).sum();
            let expected = (-sum / document.len().max(1) as f64).exp();
            let found = model.perplexity(document);
            prop_assert!((found / expected - 1.0).abs() < 1e-5, "{document:?}: {found}, expected {expected}");
        }
    }

    #[test]
    fn successors_are_the_likeliest_tokens_seen(
        text in texts(12), order in 1..=MAX_ORDER, context in vec(0_u32..13, 0..6), count in 0_usize..14,
    ) {
        let model = trained(&text, order, 20);
        let seen: BTreeSet<_> = text.iter().flatten().copied().collect();
        let mut expected: Vec<_> = seen.iter().map(|&token| (token, model.probability(&context, token))).collect();
        expected.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        expected.truncate(count);
        prop_assert_eq!(model.successors(&context, count), expected);
    }

    #[test]
    fn random_bytes_are_refused_or_harmless(bytes in vec(any::<u8>(), 0..400), order in 0_u8..7, counts in vec(0_u8..9, 5)) {
        prop_assert!(NgramModel::open(bytes.clone()).is_err(), "random bytes do not begin as a model");
        let mut framed = trained(&Text::new(), MAX_ORDER, 3).bytes()[..96].to_vec();
        framed[12] = order;
        counts.iter().enumerate().for_each(|(level, &count)| framed[56 + 8 * level] = count);
        framed.extend(bytes);
        try_everything(framed);
    }

    #[test]
    fn broken_models_are_refused_or_harmless(
        text in texts(6), order in 1..=MAX_ORDER, length in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4), cut in any::<bool>(),
    ) {
        let mut bytes = trained(&text, order, VOCABULARY).bytes().to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let whole = bytes.len();
        bytes.truncate(if cut { length.index(whole) } else { whole });
        let opened = try_everything(bytes);
        prop_assert!(!(cut && opened), "a cut file was opened");
    }
}

/// Opens bytes and, where that succeeds, asks all there is to ask.
fn try_everything(bytes: Vec<u8>) -> bool {
    let Ok(model) = NgramModel::open(bytes) else { return false };
    let highest = model.vocabulary().min(9) as u32;
    for context in
        (0..highest * highest * highest).map(|n| [n % highest, n / highest % highest, n / highest / highest, n % 2])
    {
        let successors = model.successors(&context, 5);
        assert!(
            successors.iter().all(|&(token, probability)| (token as usize) < model.vocabulary() && probability > 0.0)
        );
        assert!(model.probability(&context, u32::MAX) == 0.0);
        assert!(model.score(&context).all(f64::is_finite));
    }
    true
}

#[test]
fn estimated_discounts_are_used() {
    let text: Text = skewed_text(900, 40).chunks(70).map(<[_]>::to_vec).collect();
    for order in 2..=3 {
        let (model, reference) = (trained(&text, order, 50), Reference::new(&text, order, 50));
        // All of the 40 tokens have many neighbours, so the first order alone has too few low counts.
        let estimated = reference.discounts.iter().filter(|&&discounts| discounts != [0.5, 1.0, 1.5]).count();
        assert_eq!(estimated, order - 1, "{:?}", reference.discounts);
        for (end, token) in (0..60).zip((0..50).cycle()) {
            let context = &text[2][..end];
            let (found, expected) = (model.probability(context, token), reference.probability(context, token));
            assert!((found - expected).abs() < 1e-6, "{token} behind {context:?}: {found}, expected {expected}");
        }
    }
}

#[test]
fn training_text_is_less_perplexing_than_chance() {
    let text = vec![skewed_text(5000, 200)];
    let perplexity: Vec<_> = (1..=4).map(|order| trained(&text, order, 1000).perplexity(&text[0])).collect();
    // The text uses 200 of 1000 tokens; longer contexts tell more about it.
    assert!(perplexity[0] < 200.0, "{perplexity:?}");
    assert!(perplexity.windows(2).all(|pair| pair[1] < pair[0]), "{perplexity:?}");
}

#[test]
fn a_score_is_the_probability_of_each_token_behind_those_before() {
    let text = vec![skewed_text(300, 9), skewed_text(100, 5)];
    let model = trained(&text, 3, 12);
    let tokens = [4, 0, 11, 3, 1, 0, 2];
    let expected: Vec<_> = (0..tokens.len()).map(|end| model.probability(&tokens[..end], tokens[end]).ln()).collect();
    assert_eq!(model.score(&tokens).collect::<Vec<_>>(), expected);
    let mean = expected.iter().sum::<f64>() / tokens.len() as f64;
    assert!((model.perplexity(&tokens) - (-mean).exp()).abs() < 1e-9);
    assert_eq!(model.perplexity(&[]), 1.0);
}

#[test]
fn a_model_without_tokens_is_uniform() {
    let model = trained(&vec![Vec::new()], 4, 50);
    assert_eq!(model.ngram_counts(), [0; 4]);
    assert!((model.probability(&[1, 2], 3) - 0.02).abs() < 1e-9);
    assert!(model.successors(&[1, 2], 3).is_empty());
    assert_eq!([model.probability(&[], 49), model.probability(&[], 50)], [0.02, 0.0]);
}

#[test]
fn a_model_says_what_it_was_trained_with() {
    let model = trained(&vec![vec![1, 2, 1, 2], vec![3]], 2, 50);
    assert_eq!((model.order(), model.vocabulary(), model.tokenizer()), (2, 50, [7; 32]));
    assert_eq!(model.ngram_counts(), [3, 2]);
    let copy = NgramModel::open(model.bytes()).expect("what was written can be read");
    assert_eq!(copy.probability(&[1], 2), model.probability(&[1], 2));
}

#[test]
fn training_refuses_what_cannot_be() {
    let check = |order, vocabulary, expected: &str| {
        let config = NgramConfig { order, vocabulary, tokenizer: [0; 32] };
        assert_eq!(train(&[vec![5, 6]], &config).expect_err("refused").to_string(), expected);
    };
    check(0, 10, "`order` is 0, but must be 1 to 5");
    check(6, 10, "`order` is 6, but must be 1 to 5");
    check(2, 0, "`vocabulary` is 0, but must be 1 to 16777216");
    check(2, 1 << 25, "`vocabulary` is 33554432, but must be 1 to 16777216");
    check(2, 6, "training token 6 is outside the vocabulary of 6");
}

#[test]
fn a_broken_file_is_told_in_one_line() {
    // Order 2: the header ends at 72. Order 1 has 3 n-grams: tokens at 72, probabilities 88, ranks 104, backoffs 120,
    // children 136 to 152. Order 2 has 2: tokens at 152, probabilities 160, ranks 168 to 176.
    let whole = trained(&vec![vec![1, 2, 1, 2], vec![3]], 2, 50).bytes().to_vec();
    let check = |place: usize, value: u32, expected: &str| {
        let mut bytes = whole.clone();
        bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
        let message = NgramModel::open(bytes).expect_err(expected).to_string();
        assert_eq!(message, format!("not an n-gram model: {expected}"));
    };
    assert_eq!(whole.len(), 176);
    check(0, 0, "it does not start with `VDNGRAM`");
    check(8, 9, "version 9, expected 1");
    check(12, 6, "order 6, expected 1 to 5");
    check(16, 0, "a vocabulary of 0, expected 1 to 16777216");
    check(16, 3, "n-gram 2 of order 1 is token 3, expected 3 to 2");
    check(20, f32::NAN.to_bits(), "the root backoff is NaN, expected above 0 to 1");
    check(60, 1, "176 bytes, too few for [4294967299, 2] n-grams");
    check(64, 0, "176 bytes, but its n-grams end at 152");
    check(64, 30, "176 bytes, too few for [3, 30] n-grams");
    check(76, 1, "n-gram 1 of order 1 is token 1, expected 2 to 49");
    check(88, (-0.5_f32).to_bits(), "the probability at rank 0 of order 1 is -0.5, expected above 0 to 1");
    check(104, 3, "rank 0 of order 1 is 3, expected less than 3");
    check(108, 0, "rank 1 of order 1 is out of order");
    check(120, 2_f32.to_bits(), "the backoff of n-gram 0 of order 1 is 2, expected above 0 to 1");
    check(136, 1, "n-gram 0 of order 1 has children 1..1 of 2");
    check(148, 3, "n-gram 2 of order 1 has children 2..3 of 2");
    check(148, 1, "n-gram 2 of order 1 has children 2..1 of 2");
    for length in 0..whole.len() {
        assert!(NgramModel::open(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    let longer = [&whole[..], &[0; 8]].concat();
    assert!(NgramModel::open(longer).is_err());
}
