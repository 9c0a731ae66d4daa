//! Answers that rows of a data file have beside their prompts.
//!
//! ```text
//! canonical_solution, answer, completion, response     the first that a row has; a field that is named goes before them
//!     "..."              the answer to the one turn
//!     ["...", "..."]     one a turn
//! messages               the last is the answer where its role is `assistant`
//! ```

use serde_json::{Map, Value};

use super::row::{kind, object, prompt_of, text};
use super::{AnsweredPrompt, Content};

/// Fields that hold an answer, in the order in which they are looked for.
const FIELDS: [&str; 4] = ["canonical_solution", "answer", "completion", "response"];

/// Reads a line with its answers; `field` names where they are. An error says what is wrong with the line.
pub(super) fn prompt(line: &str, category: &str, number: usize, field: Option<&str>) -> Result<AnsweredPrompt, String> {
    let row = object(line.as_bytes())?;
    let mut prompt = prompt_of(&row, category, number)?;
    let answers = match (find(&row, field)?, &mut prompt.content) {
        (Some((name, value)), Content::Turns(turns)) => several(name, value, turns.len())?,
        (Some((name, value)), _) => several(name, value, 1)?,
        (None, Content::Messages(messages)) if messages.len() > 1 => {
            let answer = messages.pop_if(|last| last.role == "assistant" && !last.content.is_empty());
            answer.map(|answer| answer.content).into_iter().collect()
        }
        (None, _) => Vec::new(),
    };
    Ok(AnsweredPrompt { prompt, answers })
}

fn find<'a>(row: &'a Map<String, Value>, field: Option<&'a str>) -> Result<Option<(&'a str, &'a Value)>, String> {
    if let Some(name) = field {
        let found = row.get(name).ok_or_else(|| format!("has no `{name}`, which `--answer-field` names"))?;
        return Ok(Some((name, found)));
    }
    let found = FIELDS.iter().find_map(|name| row.get(*name).map(|value| (*name, value)));
    Ok(found.filter(|(_, value)| !value.is_null()))
}

fn several(name: &str, value: &Value, turns: usize) -> Result<Vec<String>, String> {
    match value {
        Value::Array(answers) if answers.len() == turns => {
            answers.iter().enumerate().map(|(index, answer)| text(&format!("{name}[{index}]"), answer)).collect()
        }
        Value::Array(answers) => {
            Err(format!("has {} answers in `{name}`, expected one for each of {turns} turns", answers.len()))
        }
        Value::String(_) if turns == 1 => Ok(vec![text(name, value)?]),
        Value::String(_) => {
            Err(format!("has one answer in `{name}`, expected a list of one for each of {turns} turns"))
        }
        other => Err(format!("has `{name}` {}, expected a string, or a list of one a turn", kind(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(line: &str, field: Option<&str>) -> Result<Vec<String>, String> {
        prompt(line, "set", 4, field).map(|row| row.answers)
    }

    fn check(line: &str, field: Option<&str>, expected: Result<&[&str], &str>) {
        let expected = expected.map(|answers| answers.iter().map(|answer| (*answer).to_owned()).collect());
        assert_eq!(answers(line, field), expected.map_err(str::to_owned), "{line}");
    }

    #[test]
    fn an_answer_stands_beside_its_prompt() {
        check(r#"{"prompt": "def f():", "canonical_solution": " pass"}"#, None, Ok(&[" pass"]));
        check(r#"{"question": "How many?", "answer": "2"}"#, None, Ok(&["2"]));
        check(r#"{"text": "Sum", "code": "a + b", "answer": "other"}"#, Some("code"), Ok(&["a + b"]));
        check(r#"{"turns": ["A", "B"], "response": ["a", "b"]}"#, None, Ok(&["a", "b"]));
        check(r#"{"turns": ["A"], "reference": ["a"]}"#, Some("reference"), Ok(&["a"]));
        check(r#"{"text": "Once", "answer": null}"#, None, Ok(&[]));
        check(r#"{"text": "Once"}"#, None, Ok(&[]));
    }

    #[test]
    fn the_last_message_is_the_answer_where_the_assistant_says_it() {
        let line = |role: &str| {
            format!(r#"{{"messages": [{{"role": "user", "content": "U"}}, {{"role": "{role}", "content": "A"}}]}}"#)
        };
        let row = prompt(&line("assistant"), "set", 4, None).expect("a good row");
        assert_eq!(row.answers, ["A"]);
        assert!(matches!(row.prompt.content, Content::Messages(messages) if messages.len() == 1));
        check(&line("user"), None, Ok(&[]));
    }

    #[test]
    fn answers_that_do_not_fit_their_turns_are_refused() {
        check(
            r#"{"prompt": "a", "answer": 2}"#,
            None,
            Err("has `answer` 2, expected a string, or a list of one a turn"),
        );
        check(r#"{"prompt": "a", "answer": ""}"#, None, Err("has `answer` \"\", expected a string that is not empty"));
        check(
            r#"{"turns": ["A", "B"], "answer": "a"}"#,
            None,
            Err("has one answer in `answer`, expected a list of one for each of 2 turns"),
        );
        check(
            r#"{"prompt": "a", "answer": ["a", "b"]}"#,
            None,
            Err("has 2 answers in `answer`, expected one for each of 1 turns"),
        );
        check(r#"{"prompt": "a"}"#, Some("x"), Err("has no `x`, which `--answer-field` names"));
    }
}
