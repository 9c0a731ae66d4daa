//! The report for a terminal.

use std::fmt::{self, Display, Formatter};

use super::report::{BySize, ComparisonReport, Figures, PerplexityReport, RecipeReport, Subject, WorstToken};

impl Display for PerplexityReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        writeln!(formatter, "{}\n{}\n", self.subject, self.recipe)?;
        let mut rows = vec![("", header(&self.total))];
        rows.extend(self.files.iter().map(|file| (file.file.as_str(), cells(&file.figures))));
        if self.files.len() > 1 {
            rows.push(("total", cells(&self.total)));
        }
        formatter.write_str(&lines(&rows).join("\n"))?;
        if let Some(comparison) = &self.comparison {
            write!(formatter, "\n\n{}", compared(comparison, self.total.perplexity))?;
        }
        if let Some(worst) = &self.worst {
            let by_file = self.files.len() > 1;
            let by_text = self.total.documents > 1;
            let lines = worst_lines(worst, |token| place(token, by_file, by_text));
            write!(formatter, "\n\nleast expected tokens\n{}", lines.join("\n"))?;
        }
        Ok(())
    }
}

impl Display for Subject {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self { model, weights, path, order } = self;
        match order {
            Some(order) => write!(formatter, "{model}, n-grams of order {order}"),
            None => write!(formatter, "{model}, weights {weights}, path {}", path.as_deref().unwrap_or("unknown")),
        }
    }
}

impl Display for RecipeReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self { recipe, window, stride, bos_token, prefix_token, max_tokens, limit } = self;
        write!(formatter, "recipe {recipe}: ")?;
        match (window, stride) {
            (Some(window), _) if *recipe == "pll" => {
                write!(formatter, "each token masked by itself, texts in pieces of at most {window} tokens")?;
            }
            (Some(window), _) if *recipe == "pll-word" => write!(
                formatter,
                "each token masked with the rest of its word, texts in pieces of at most {window} tokens"
            )?,
            (Some(window), Some(stride)) => write!(formatter, "windows of {window} tokens, stride {stride}")?,
            (Some(window), None) if bos_token.is_some() => write!(formatter, "second halves of chunks of {window}")?,
            (Some(window), None) => write!(formatter, "rolling windows of {window} tokens")?,
            (None, _) => write!(formatter, "each text as one stream")?,
        }
        match bos_token {
            Some(Some(token)) => write!(formatter, ", each begins with token {token}")?,
            Some(None) => write!(formatter, ", without BOS")?,
            None => {}
        }
        prefix_token.map_or(Ok(()), |token| write!(formatter, " behind token {token}"))?;
        max_tokens.map_or(Ok(()), |most| write!(formatter, "; {most} tokens of a file at most"))?;
        limit.map_or(Ok(()), |most| write!(formatter, "; {most} texts of a file at most"))
    }
}

fn header(total: &Figures) -> Vec<String> {
    let mut names = vec!["texts", "tokens", "scored", "perplexity", "±"];
    if total.by_size.is_some() {
        names.extend(["words", "bytes", "a word", "a byte", "bits a byte"]);
    }
    names.into_iter().map(str::to_owned).collect()
}

fn cells(figures: &Figures) -> Vec<String> {
    let Figures { perplexity, standard_error, token_count, tokens, documents, by_size, .. } = figures;
    let error = standard_error.map_or("-".to_owned(), |error| format!("{error:.4}"));
    let mut cells =
        vec![documents.to_string(), tokens.to_string(), token_count.to_string(), number(*perplexity), error];
    if let Some(BySize { words, bytes, word_perplexity, byte_perplexity, bits_per_byte }) = by_size {
        cells.extend([words.to_string(), bytes.to_string()]);
        cells.extend([number(*word_perplexity), number(*byte_perplexity), format!("{bits_per_byte:.4}")]);
    }
    cells
}

fn number(value: f64) -> String {
    format!("{value:.4}")
}

/// Columns as wide as their widest cell: names to the left, numbers to the right.
fn lines(rows: &[(&str, Vec<String>)]) -> Vec<String> {
    let width = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let names = width(&mut rows.iter().map(|(name, _)| *name));
    let columns = rows.first().map_or(0, |(_, cells)| cells.len());
    let widths: Vec<_> =
        (0..columns).map(|column| width(&mut rows.iter().map(|(_, cells)| cells[column].as_str()))).collect();
    let line = |(name, cells): &(&str, Vec<String>)| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}"));
        format!("{name:names$}{}", cells.collect::<String>())
    };
    rows.iter().map(line).collect()
}

fn compared(comparison: &ComparisonReport, perplexity: f64) -> String {
    let ComparisonReport { model, weights, perplexity: other, kl_divergence, top1_agreement, acceptance, .. } =
        comparison;
    let change = 100.0 * (other / perplexity - 1.0);
    [
        format!("compared with {model}, weights {weights}"),
        format!("  perplexity       {other:.4}  ({change:+.2} %)"),
        format!(
            "  KL divergence    {:.5}  (median {:.5}, 99th percentile {:.5}), nats",
            kl_divergence.mean, kl_divergence.median, kl_divergence.p99
        ),
        format!("  same best token  {:.2} %", 100.0 * top1_agreement),
        format!("  acceptance       {:.2} %  (mean Σ min(p, q))", 100.0 * acceptance),
    ]
    .join("\n")
}

/// Where a token stands, as far as there is a choice: file, text and position, the last two from 0.
fn place(token: &WorstToken, by_file: bool, by_text: bool) -> String {
    let file = if by_file { format!("{} ", token.file) } else { String::new() };
    let text = if by_text { format!("{}:", token.document) } else { String::new() };
    format!("{file}{text}{}", token.position)
}

/// The text between backticks, on one line.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\'' => character.to_string(),
        other => other.escape_debug().to_string(),
    });
    format!("`{}`", escaped.collect::<String>())
}

fn worst_lines(worst: &[WorstToken], place: impl Fn(&WorstToken) -> String) -> Vec<String> {
    let places: Vec<_> = worst.iter().map(place).collect();
    let texts: Vec<_> = worst.iter().map(|token| quoted(&token.text)).collect();
    let width = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let (place_width, text_width) = (width(&places), width(&texts));
    let line = |((token, place), text): ((&WorstToken, &String), &String)| {
        let WorstToken { logprob, context, best_text, best_logprob, .. } = token;
        let (context, best) = (quoted(context), quoted(best_text));
        format!(
            "{logprob:>8.2}  {place:>place_width$}  {text:text_width$}  best {best} {best_logprob:.2}, behind {context}"
        )
    };
    worst.iter().zip(&places).zip(&texts).map(line).collect()
}

#[cfg(test)]
mod tests {
    use veridraft_engine::evaluation::{ComparisonSummary, Score, TextSize};

    use super::super::sets::TextSet;
    use super::*;

    fn score(logprobs: &[f64]) -> Score {
        let mut score = Score::default();
        logprobs.iter().for_each(|&logprob| score.push(logprob));
        score
    }

    fn set(file: &str, lengths: &[usize], size: TextSize) -> TextSet {
        TextSet { file: file.to_owned(), texts: lengths.iter().map(|&length| vec![1; length]).collect(), size }
    }

    fn subject() -> Subject {
        let (model, weights) = ("tiny".to_owned(), "f32".to_owned());
        Subject { model, weights, path: Some("avx2".to_owned()), order: None }
    }

    #[test]
    fn a_person_reads_aligned_columns_and_a_total() {
        let recipe = RecipeReport {
            recipe: "hf",
            window: Some(8),
            stride: Some(4),
            max_tokens: Some(100),
            ..RecipeReport::default()
        };
        let sets = [set("a.txt", &[3], TextSize::default()), set("b.jsonl", &[2, 4], TextSize::default())];
        let scores = [score(&[-1.0, -3.0]), score(&[-2.0; 4])];
        let mut report = PerplexityReport::new(subject(), recipe, &sets, &scores);
        let summary = ComparisonSummary {
            mean_divergence: 0.25,
            median_divergence: 0.125,
            divergence_99: 1.5,
            acceptance: 0.875,
            same_best: 0.75,
        };
        report.comparison = Some(ComparisonReport::new("tiny", "q4", &score(&[-2.5; 6]), &summary));
        report.worst = Some(vec![WorstToken {
            file: "b.jsonl".to_owned(),
            document: 1,
            position: 2,
            context: "\"one\n".to_owned(),
            token: 7,
            text: " two".to_owned(),
            logprob: -12.5,
            best: 3,
            best_text: "\n".to_owned(),
            best_logprob: -0.25,
        }]);
        let expected = "\
tiny, weights f32, path avx2
recipe hf: windows of 8 tokens, stride 4; 100 tokens of a file at most

         texts  tokens  scored  perplexity       ±
a.txt        1       3       2      7.3891  7.3891
b.jsonl      2       6       4      7.3891  0.0000
total        3       9       6      7.3891  1.9078

compared with tiny, weights q4
  perplexity       12.1825  (+64.87 %)
  KL divergence    0.25000  (median 0.12500, 99th percentile 1.50000), nats
  same best token  75.00 %
  acceptance       87.50 %  (mean Σ min(p, q))

least expected tokens
  -12.50  b.jsonl 1:2  ` two`  best `\\n` -0.25, behind `\"one\\n`";
        assert_eq!(report.to_string(), expected);
        let object = serde_json::to_value(&report).expect("plain data");
        assert_eq!(object["recipe"], "hf");
        assert_eq!([&object["window"], &object["stride"], &object["token_count"]], [8, 4, 6]);
        assert_eq!(object["files"][1]["nll_sum"], 8.0);
        assert_eq!(object["comparison"]["kl_divergence"]["p99"], 1.5);
        assert_eq!(object["worst"][0]["best_text"], "\n");
        for absent in ["word_perplexity", "bos_token", "prefix_token", "order", "limit"] {
            assert!(object.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn the_other_recipes_name_their_parameters_and_figures() {
        let rolling =
            RecipeReport { recipe: "lm-eval", window: Some(16), prefix_token: Some(2), ..RecipeReport::default() };
        let sets = [set("a.txt", &[3], TextSize { words: 2, bytes: 6 })];
        let report = PerplexityReport::new(subject(), rolling, &sets, &[score(&[-2.0, -1.0, -3.0])]);
        let expected = "\
tiny, weights f32, path avx2
recipe lm-eval: rolling windows of 16 tokens behind token 2

       texts  tokens  scored  perplexity       ±  words  bytes   a word  a byte  bits a byte
a.txt      1       3       3      7.3891  4.2661      2      6  20.0855  2.7183       1.4427";
        assert_eq!(report.to_string(), expected);
        let object = serde_json::to_value(&report).expect("plain data");
        assert_eq!([&object["words"], &object["files"][0]["bytes"], &object["prefix_token"]], [2, 6, 2]);
        let check = |recipe: RecipeReport, expected: &str| assert_eq!(recipe.to_string(), expected);
        let chunks = RecipeReport { recipe: "llama.cpp", window: Some(512), ..RecipeReport::default() };
        check(
            RecipeReport { bos_token: Some(Some(1)), ..chunks.clone() },
            "recipe llama.cpp: second halves of chunks of 512, each begins with token 1",
        );
        check(
            RecipeReport { bos_token: Some(None), limit: Some(3), ..chunks },
            "recipe llama.cpp: second halves of chunks of 512, without BOS; 3 texts of a file at most",
        );
        let masked = RecipeReport { window: Some(128), ..RecipeReport::default() };
        check(
            RecipeReport { recipe: "pll", ..masked.clone() },
            "recipe pll: each token masked by itself, texts in pieces of at most 128 tokens",
        );
        check(
            RecipeReport { recipe: "pll-word", ..masked },
            "recipe pll-word: each token masked with the rest of its word, texts in pieces of at most 128 tokens",
        );
        let ngram = RecipeReport { recipe: "hf", ..RecipeReport::default() };
        check(ngram, "recipe hf: each text as one stream");
        let subject = Subject { model: "a.ngram".to_owned(), order: Some(4), path: None, ..subject() };
        assert_eq!(subject.to_string(), "a.ngram, n-grams of order 4");
    }
}
