//! The greatest logit and where it stands. NaN counts as minus infinity throughout the sampler.

use veridraft_models::TokenId;

const CHUNK: usize = 256;

/// The greatest logit that is a number; minus infinity when there is none.
pub(crate) fn greatest(logits: &[f32]) -> f32 {
    // `if value > best` is one `maxps` and drops NaN; sixteen lanes break the chain of dependent comparisons.
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |best, &logit| if logit > best { logit } else { best })
}

/// The lowest token with the greatest logit; 0 when no logit is above minus infinity.
pub(crate) fn lowest_at(logits: &[f32], greatest: f32) -> TokenId {
    // Without an early return the comparisons of a chunk are vectors.
    let has_it = |chunk: &[f32]| chunk.iter().fold(false, |any, &logit| any | (logit == greatest));
    let chunk = logits.chunks(CHUNK).position(has_it).unwrap_or(0) * CHUNK;
    let rest = logits.get(chunk..).unwrap_or_default();
    (chunk + rest.iter().position(|&logit| logit == greatest).unwrap_or(0)) as TokenId
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logits: &[f32], expected: (f32, TokenId)) {
        let best = greatest(logits);
        assert_eq!((best, lowest_at(logits, best)), expected);
    }

    #[test]
    fn the_greatest_is_found_among_infinities_and_nan() {
        check(&[1.0, 3.0, 3.0, 2.0], (3.0, 1));
        check(&[f32::NAN, -1.0, f32::NEG_INFINITY], (-1.0, 1));
        check(&[1.0, f32::INFINITY, f32::INFINITY], (f32::INFINITY, 1));
        check(&[f32::NAN, f32::NEG_INFINITY], (f32::NEG_INFINITY, 1));
        check(&[f32::NAN; 40], (f32::NEG_INFINITY, 0));
        check(&[], (f32::NEG_INFINITY, 0));
        let long: Vec<f32> = (0..100).map(|n| ((n * 37) % 100) as f32).collect();
        check(&long, (99.0, 27));
        let far: Vec<f32> = (0..1000).map(|n| if n % 600 == 599 { 1.0 } else { 0.0 }).collect();
        check(&far, (1.0, 599));
    }
}
