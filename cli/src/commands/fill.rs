//! `veridraft fill`: what belongs in the blanks of a text, by a masked language model.
//!
//! Several blanks are filled one by one, each while the others stay open: the model gives no probability of fillers
//! together.

use std::fmt;
use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use veridraft_engine::TokenLogprobs;
use veridraft_models::{Logits, MaskedBatch, MaskedLanguageModel, MaskedPlace, TokenId, Tokenizer, WordEncoding};

use crate::arguments::parse_count;
use crate::open_model::{MaskedFolder, MaskedModelArguments};
use crate::output::{line, piece};
use crate::prompt::read_standard_input;
use crate::usage::UsageError;

#[derive(Debug, Args)]
pub(crate) struct FillArguments {
    #[arg(
        help = "The text, with the model's mask token, [MASK] or <mask>, for each blank; without it, standard input is \
                  read to its end"
    )]
    text: Option<String>,
    /// Fillers of each blank, the likeliest first
    #[arg(long, value_name = "N", default_value = "5", value_parser = parse_count)]
    top: NonZeroUsize,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: MaskedModelArguments,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct FillReport {
    model: String,
    weights: String,
    text: String,
    blanks: Vec<Blank>,
}

/// A blank of the text.
#[derive(Debug, Serialize)]
struct Blank {
    /// Where its token stands, those that the tokenizer puts before the text counted.
    position: usize,
    fillers: Vec<Filler>,
}

/// What a blank may stand for.
#[derive(Debug, Serialize)]
struct Filler {
    token_id: TokenId,
    /// As the vocabulary spells it.
    token: String,
    probability: f64,
    /// The text with this blank filled.
    text: String,
}

/// Runs the command.
pub(crate) fn run(arguments: &FillArguments) -> Result<()> {
    let text = match &arguments.text {
        Some(text) => text.clone(),
        None => read_standard_input()?.trim_end_matches(['\r', '\n']).to_owned(),
    };
    let masked = MaskedFolder::find(&arguments.model)?;
    let encoding = masked.folder.tokenizer.encode_words(&text)?;
    let positions = blanks(&encoding, &masked)?;
    let mut model = masked.open(&arguments.model)?;
    let (found, most) = (encoding.token_ids.len(), model.limits().context_length);
    if found > most {
        let name = &masked.name;
        bail!(UsageError::new(format!("the text has {found} tokens, but the context of `{name}` holds {most}")));
    }
    let wanted = positions.iter().map(|&position| MaskedPlace { sequence: 0, position }).collect();
    let logits = model.forward(&MaskedBatch { sequences: vec![encoding.token_ids.clone()], wanted })?;
    let blanks = fillers(&encoding, &positions, &logits, &masked.folder.tokenizer, arguments.top.get());
    let report = FillReport { model: masked.name, weights: model.weights().to_owned(), text, blanks };
    if arguments.json {
        return line(serde_json::to_string(&report)?);
    }
    if report.blanks.len() > 1 {
        eprintln!("note: each of the {} blanks is filled while the others stay open", report.blanks.len());
    }
    piece(&report).map(drop)
}

/// Where the text has masks; at least one.
fn blanks(encoding: &WordEncoding, masked: &MaskedFolder) -> Result<Vec<usize>> {
    let positions: Vec<_> =
        (0..encoding.token_ids.len()).filter(|&position| encoding.token_ids[position] == masked.mask).collect();
    if positions.is_empty() {
        let MaskedFolder { name, mask_text, .. } = masked;
        bail!(UsageError::new(format!(
            "the text has no blank, expected at least one: `{name}` has `{mask_text}` for it"
        )));
    }
    Ok(positions)
}

fn fillers(
    encoding: &WordEncoding,
    positions: &[usize],
    logits: &Logits,
    tokenizer: &Tokenizer,
    top: usize,
) -> Vec<Blank> {
    let blank = |(row, &position): (usize, &usize)| {
        let best = TokenLogprobs::new(logits.row(row), 0, top).top;
        let filler = |(token_id, logprob): (TokenId, f64)| Filler {
            token_id,
            token: tokenizer.token(token_id).unwrap_or_default(),
            probability: logprob.exp(),
            text: filled(encoding, position, token_id, tokenizer),
        };
        Blank { position, fillers: best.into_iter().map(filler).collect() }
    };
    positions.iter().enumerate().map(blank).collect()
}

/// The text with a token in one place, without what the tokenizer puts around texts.
fn filled(encoding: &WordEncoding, position: usize, token: TokenId, tokenizer: &Tokenizer) -> String {
    let mut token_ids = encoding.token_ids.clone();
    token_ids[position] = token;
    let own = token_ids.into_iter().zip(&encoding.words).filter(|(_, word)| word.is_some());
    let own: Vec<_> = own.map(|(token, _)| token).collect();
    tokenizer.decode_with_special(&own).trim_start().to_owned()
}

impl fmt::Display for FillReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fillers = self.blanks.iter().flat_map(|blank| &blank.fillers);
        let width = fillers.map(|filler| shown(filler).chars().count()).max().unwrap_or(0);
        for (index, blank) in self.blanks.iter().enumerate() {
            if self.blanks.len() > 1 {
                writeln!(formatter, "--- blank {} of {} ---", index + 1, self.blanks.len())?;
            }
            for filler in &blank.fillers {
                let (token, text) = (shown(filler), one_line(&filler.text));
                writeln!(formatter, "{:.4}  {token:width$}  {text}", filler.probability)?;
            }
        }
        Ok(())
    }
}

/// A token for people; rows of the embedding that no token has are numbered.
fn shown(filler: &Filler) -> String {
    match filler.token.as_str() {
        "" => format!("#{}", filler.token_id),
        token => one_line(token),
    }
}

/// The text with what would break a line, or do worse to a terminal, written out.
fn one_line(text: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn filler(token_id: TokenId, token: &str, probability: f64, text: &str) -> Filler {
        Filler { token_id, token: token.to_owned(), probability, text: text.to_owned() }
    }

    fn report(blanks: Vec<Blank>) -> FillReport {
        FillReport { model: "tiny".to_owned(), weights: "f32".to_owned(), text: "a [MASK]".to_owned(), blanks }
    }

    #[test]
    fn fillers_are_aligned_and_blanks_numbered() {
        let best = || vec![filler(8, "king", 0.25, "it's\na king"), filler(9, "", 0.125, "a")];
        let one = report(vec![Blank { position: 2, fillers: best() }]);
        assert_eq!(one.to_string(), "0.2500  king  it's\\na king\n0.1250  #9    a\n");
        let two = report(vec![Blank { position: 2, fillers: best() }, Blank { position: 3, fillers: Vec::new() }]);
        let expected = "--- blank 1 of 2 ---\n0.2500  king  it's\\na king\n0.1250  #9    a\n--- blank 2 of 2 ---\n";
        assert_eq!(two.to_string(), expected);
    }

    #[test]
    fn json_has_every_figure() {
        let report = report(vec![Blank { position: 2, fillers: vec![filler(8, "king", 0.25, "a king")] }]);
        let expected = r#"{"model":"tiny","weights":"f32","text":"a [MASK]","blanks":[{"position":2,"fillers":[{"token_id":8,"token":"king","probability":0.25,"text":"a king"}]}]}"#;
        assert_eq!(serde_json::to_string(&report).expect("it is data"), expected);
    }

    #[test]
    fn a_model_must_be_named() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command);
        assert!(parse("veridraft fill [MASK]").expect_err("no model").to_string().contains("--model <MODEL>"));
        assert!(matches!(parse("veridraft fill [MASK] -m m --top 3").expect("a model"), Command::Fill(_)));
        assert!(parse("veridraft fill [MASK] -m m --top 0").is_err());
    }
}
