//! OLMo and OLMo 2.

use super::super::DecoderConfig;
use super::fields::Fields;
use super::{Defaults, USUAL, rotate, usual};

pub(super) fn read(file: &Fields, architecture: &str) -> Result<DecoderConfig, String> {
    file.expect_flags(&[("attention_bias", false)])?;
    // OLMo's norms have this epsilon whatever the file says; OLMo 2 reads it.
    let mut config = usual(file, architecture, &Defaults { norm_eps: 1e-5, ..USUAL })?;
    if architecture == "olmo" {
        config.norm_eps = 1e-5;
        config.clip_qkv = file.number("clip_qkv")?.map(|most| most as f32);
    }
    rotate(file, &mut config)?;
    Ok(config)
}
