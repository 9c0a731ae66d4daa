//! Texts under a constraint without a model: a vocabulary of bytes, and logits that are a hash of the tokens before.

use anyhow::{Result, ensure};
use veridraft_engine::SamplingConfig;
use veridraft_engine::constraint::{Constraint, Ending, Vocabulary};
use veridraft_engine::sampling::{History, Sampler};
use veridraft_models::TokenId;

/// What ends a text; below it are the bytes, above it the tokens of several bytes.
pub const END_OF_TEXT: TokenId = 256;

/// Tokens of several bytes, so that a text can be cut in several ways and a token can span words of JSON.
const MERGED: [&[u8]; 12] =
    [b"{\"", b"\":", b"\": ", b"\"}", b"\", \"", b"true", b"null", b"12", b"foo", b"ba", b" \"", "é".as_bytes()];

/// Tokens of [`byte_vocabulary`].
pub const BYTE_VOCABULARY: usize = 257 + MERGED.len();

/// All bytes, [`END_OF_TEXT`] and a few tokens of several bytes.
pub fn byte_vocabulary(eos_ids: &[TokenId]) -> Vocabulary {
    let token_bytes = (0..BYTE_VOCABULARY as TokenId).map(bytes_of).collect();
    Vocabulary::new(token_bytes, eos_ids, cut).expect("the vocabulary is within all bounds")
}

/// The bytes of a text's tokens.
pub fn text_of(tokens: &[TokenId]) -> Vec<u8> {
    tokens.iter().flat_map(|&token| bytes_of(token)).collect()
}

fn bytes_of(token: TokenId) -> Vec<u8> {
    match u8::try_from(token) {
        Ok(byte) => vec![byte],
        Err(_) if token == END_OF_TEXT => Vec::new(),
        Err(_) => MERGED[token as usize - 257].to_vec(),
    }
}

/// The longest token each time.
fn cut(text: &str) -> Vec<TokenId> {
    let mut rest = text.as_bytes();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let fitting =
            (0..BYTE_VOCABULARY as TokenId).filter(|&token| token != END_OF_TEXT && rest.starts_with(&bytes_of(token)));
        let token = fitting.max_by_key(|&token| bytes_of(token).len()).expect("every byte is a token");
        tokens.push(token);
        rest = &rest[bytes_of(token).len()..];
    }
    tokens
}

/// Logits behind `tokens`, `[BYTE_VOCABULARY]`: a hash, and from `brief_from` tokens on a strong wish to come to an end.
///
/// Exponents and long numbers are always avoided: a JSON text may hold any number, but what reads it may not.
pub fn hashed_logits(seed: u64, tokens: &[TokenId], brief_from: usize) -> Vec<f32> {
    let state = tokens.iter().fold(mix(seed), |state, &token| mix(state ^ u64::from(token)));
    let noise = |token: TokenId| (mix(state ^ (u64::from(token) << 32)) >> 40) as f32 / (1 << 22) as f32;
    let is_number = |token: &TokenId| bytes_of(*token).iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let is_long = tokens.iter().rev().take_while(|token| is_number(token)).count() >= 6;
    let logit = |token: TokenId| {
        let long = is_long && is_number(&token) && token != END_OF_TEXT;
        let exponent = token == u32::from(b'e') || token == u32::from(b'E');
        let wish = if tokens.len() < brief_from { 0.0 } else { closing(token, tokens.last().copied()) };
        noise(token) + wish - if long || exponent { 40.0 } else { 0.0 }
    };
    (0..BYTE_VOCABULARY as TokenId).map(logit).collect()
}

/// How much a token behind `last` helps a JSON text to its end. A bracket behind a bracket gets no help: it needs none
/// outside of strings, and in a string that may not end yet it would go on for ever.
fn closing(token: TokenId, last: Option<TokenId>) -> f32 {
    match u8::try_from(token) {
        Err(_) if token == END_OF_TEXT => 60.0,
        Ok(b'"') => 50.0,
        Ok(b'}' | b']') if last.is_none_or(|last| last != u32::from(b'}') && last != u32::from(b']')) => 40.0,
        Ok(b'{' | b'[' | b',' | b'\\' | b' ' | b'\t' | b'\n' | b'\r') => -40.0,
        _ => 0.0,
    }
}

/// Draws tokens from masked `logits` until the text is complete; `None` if it is not after `max_tokens`.
///
/// The tokens do not include the one that ends the text. `logits` is given the tokens so far.
pub fn constrained_tokens(
    constraint: &mut dyn Constraint,
    sampling: SamplingConfig,
    max_tokens: usize,
    logits: impl Fn(&[TokenId]) -> Vec<f32>,
) -> Result<Option<Vec<TokenId>>> {
    let history = History::new(&sampling);
    let mut sampler = Sampler::new(sampling)?;
    let mut tokens = Vec::new();
    while tokens.len() <= max_tokens {
        if constraint.ending()? == Ending::Must {
            return Ok(Some(tokens));
        }
        let allowed = constraint.allowed()?;
        let mut masked = logits(&tokens);
        allowed.mask(&mut masked);
        let token = sampler.sample(&masked, &history, tokens.len() as u32);
        ensure!(allowed.contains(token), "token {token} was drawn, but {allowed:?} are allowed");
        constraint.push(token)?;
        if token != END_OF_TEXT {
            tokens.push(token);
        }
    }
    Ok(None)
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
