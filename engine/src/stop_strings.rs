//! Cuts a streamed text before the first stop string that it completes.
//!
//! Law: whatever the text is split into, the pieces given out, with what [`StopStrings::flush`] gives, are the text
//! cut at the first completed stop string. Of several that complete at the same place, the one that starts first
//! counts. Held back is exactly the longest end of the text that begins a stop string; so every stop string that the
//! next piece can complete starts within it.

use crate::InvalidSetting;

/// The stop strings of one sequence and the text that may begin one.
#[derive(Clone, Debug)]
pub struct StopStrings {
    strings: Vec<String>,
    held: String,
}

impl StopStrings {
    /// Watches for `strings`; an empty one is an error, for it would stop every text before it begins.
    pub fn new(strings: Vec<String>) -> Result<Self, InvalidSetting> {
        InvalidSetting::unless(!strings.iter().any(String::is_empty), "stop", "an empty string", "strings with text")?;
        Ok(Self { strings, held: String::new() })
    }

    /// Takes the next piece; returns the text that is now certain, and whether a stop string was completed. What is
    /// pushed behind that belongs to a new text.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        let checked = self.held.len();
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        if let Some(cut) = self.first_cut(&text, checked) {
            text.truncate(cut);
            return (text, true);
        }
        self.held = text.split_off(self.certain(&text));
        (text, false)
    }

    /// Returns the text held back: nothing follows it that could complete a stop string.
    pub fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the first stop string to be completed behind byte `checked` starts. UTF-8 lets characters match nowhere
    /// but at characters, so bytes are compared.
    fn first_cut(&self, text: &str, checked: usize) -> Option<usize> {
        (checked + 1..=text.len()).find_map(|end| {
            let completed = self.strings.iter().filter(|stop| text.as_bytes()[..end].ends_with(stop.as_bytes()));
            completed.map(|stop| end - stop.len()).min()
        })
    }

    /// The length of the text before the longest end that begins a stop string.
    fn certain(&self, text: &str) -> usize {
        let longest = self.strings.iter().map(String::len).max().unwrap_or(0);
        let first = text.ceil_char_boundary(text.len().saturating_sub(longest));
        let starts = text[first..].char_indices().map(|(offset, _)| first + offset);
        let mut begins = starts.filter(|&start| self.strings.iter().any(|stop| stop.starts_with(&text[start..])));
        begins.next().unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(strings: &[&str]) -> StopStrings {
        StopStrings::new(strings.iter().map(|&stop| stop.to_owned()).collect()).unwrap()
    }

    /// Pieces as given out, `|` behind the one that stopped.
    fn check(strings: &[&str], pieces: &[&str], expected: &[&str]) {
        let mut stops = stops(strings);
        let mut found = Vec::new();
        for piece in pieces {
            let (text, stopped) = stops.push(piece);
            found.push(if stopped { text + "|" } else { text });
        }
        found.push(stops.flush());
        assert_eq!(found, expected);
    }

    #[test]
    fn text_that_may_begin_a_stop_string_waits() {
        check(&["END"], &["aE", "N", "x", "b"], &["a", "", "ENx", "b", ""]);
        check(&["END"], &["aE", "N"], &["a", "", "EN"]);
        check(&["END"], &["aEEN", "DNE"], &["aE", "|", ""]);
    }

    #[test]
    fn the_first_completed_wins_and_of_equals_the_longest() {
        check(&["abcd", "bc"], &["xabcd"], &["xa|", ""]);
        check(&["bc", "abc"], &["xabc"], &["x|", ""]);
        check(&["é", "\n\n"], &["a\n", "b\n\nc"], &["a", "\nb|", ""]);
    }

    #[test]
    fn without_stop_strings_nothing_waits() {
        check(&[], &["a", "b"], &["a", "b", ""]);
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        let error = StopStrings::new(vec!["a".into(), String::new()]).unwrap_err();
        assert_eq!(error.to_string(), "`stop` is an empty string, but must be strings with text");
    }

    /// The whole text cut at the first completed stop string, found by looking at every prefix.
    fn slow_cut<'a>(text: &'a str, strings: &[String]) -> (&'a str, bool) {
        let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
        for end in ends {
            let completed = strings.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
            if let Some(longest) = completed.map(String::len).max() {
                return (&text[..end - longest], true);
            }
        }
        (text, false)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_splitting_gives_the_text_cut_at_the_first_stop(
            strings in prop::collection::vec("[abé]{1,5}", 0..4),
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
        ) {
            let mut stops = StopStrings::new(strings.clone()).unwrap();
            let mut found = (String::new(), false);
            for piece in &pieces {
                let (text, stopped) = stops.push(piece);
                found.0 += &text;
                if stopped {
                    found.1 = true;
                    break;
                }
            }
            if !found.1 {
                found.0 += &stops.flush();
            }
            let text = pieces.concat();
            let (expected, stopped) = slow_cut(&text, &strings);
            prop_assert_eq!(found, (expected.to_owned(), stopped));
        }
    }
}
