use serde_json::json;
use veridraft_engine::DraftedToken;

use super::*;
use crate::set_up::Turn;

fn step(rows: usize, accepted: usize, milliseconds: u64) -> Step {
    Step {
        rows,
        proposed: rows - 1,
        depth: rows - 1,
        accepted,
        tokens: accepted + 1,
        duration: Duration::from_millis(milliseconds),
        forward: Duration::from_millis(milliseconds - 1),
        drafting: Duration::from_micros(if rows > 1 { 500 } else { 0 }),
    }
}

/// Five tokens: the first ends the prefill, which does not count.
fn answer(steps: &[Step]) -> Generation {
    let first = Step { tokens: 1, rows: 40, duration: Duration::from_secs(1), ..Step::default() };
    let steps: Vec<_> = [first].iter().chain(steps).copied().collect();
    let tokens = vec![1, 2, 3, 4, 5];
    Generation { drafts: drafts(&tokens, &steps), tokens, text: "abcde".to_owned(), steps }
}

/// Chains whose first guesses are the tokens that came and whose others are token 9.
fn drafts(tokens: &[u32], steps: &[Step]) -> Vec<Vec<DraftedToken>> {
    let mut rest = tokens.iter();
    let draft = |step: &Step| {
        let produced: Vec<_> = rest.by_ref().take(step.tokens).collect();
        let guess = |place: usize| DraftedToken {
            token: if place < step.accepted { *produced[place] } else { 9 },
            parent: place.checked_sub(1),
            source: "lookup",
            is_accepted: place < step.accepted,
        };
        (0..step.proposed).map(guess).collect()
    };
    steps.iter().map(draft).collect()
}

/// Two prompts of two categories; the drafted case is twice as fast on the first and as fast on the second.
pub(in super::super) fn fixed_run() -> Run {
    let plain = || answer(&[step(1, 0, 5); 4]);
    let prompt = |category: &str, drafted: &[Step]| Measured {
        category: category.to_owned(),
        id: "1".to_owned(),
        turns: vec![Turn { prompt: vec![0; 40], answers: vec![plain(), answer(drafted)] }],
    };
    let quick = prompt("qa", &[step(4, 3, 10)]);
    let slow = prompt("rag", &[step(2, 0, 8), step(1, 0, 4), step(1, 0, 4), step(1, 0, 4)]);
    Run { prompts: vec![quick, slow] }
}

pub(in super::super) fn fixed_report() -> SpeculateReport {
    let subject = Subject {
        model: "tiny".to_owned(),
        weights: "f32".to_owned(),
        path: "avx2".to_owned(),
        seed: 7,
        max_tokens: 5,
        draft_max: 3,
    };
    let points = [(1, 4), (2, 5), (4, 6)];
    let costs = CostCurve::known(points.map(|(rows, time)| (rows, Duration::from_millis(time))).to_vec());
    SpeculateReport::new(
        subject,
        &["lookup".to_owned()],
        &fixed_run(),
        &Costs { ends: [(0, costs.clone()), (256, costs)] },
    )
}

#[test]
fn the_object_has_its_shape_and_its_figures() {
    let report = serde_json::to_value(fixed_report()).expect("plain data");
    let keys =
        |value: &serde_json::Value| -> Vec<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let subject = ["model", "weights", "path", "seed", "max_tokens", "draft_max"];
    assert_eq!(keys(&report), [&subject[..], &["prompts", "baseline", "set_ups", "forward"]].concat());
    assert_eq!(
        report["baseline"],
        json!({
            "tokens_per_second": 200.0,
            "tokens": 10,
            "time_ms": { "draft": 0.0, "verify": 32.0, "other": 8.0 },
            "categories": [
                { "category": "qa", "prompts": 1, "tokens_per_second": 200.0 },
                { "category": "rag", "prompts": 1, "tokens_per_second": 200.0 },
            ],
        })
    );
    let lookup = &report["set_ups"][0];
    assert_eq!(lookup["draft"], "lookup");
    // Eight tokens in 30 ms against eight in 40 ms; either prompt alone gives 2 and 1.
    assert_eq!(lookup["speed_up"], 1.333);
    assert_eq!(lookup["speed_up_interval"], json!([1.0, 2.0]));
    assert_eq!(lookup["tokens_per_second"], 266.667);
    // Ten tokens in seven passes, three of four guesses right.
    assert_eq!(lookup["mean_acceptance_length"], 1.429);
    assert_eq!(lookup["acceptance_rate"], 0.75);
    assert_eq!(lookup["time_ms"], json!({ "draft": 1.0, "verify": 25.0, "other": 4.0 }));
    assert_eq!(
        lookup["categories"][0],
        json!({
            "category": "qa",
            "prompts": 1,
            "speed_up": 2.0,
            "speed_up_interval": null,
            "tokens_per_second": 400.0,
            "mean_acceptance_length": 2.5,
            "acceptance_rate": 1.0,
            "time_ms": { "draft": 0.5, "verify": 9.0, "other": 0.5 },
            "allowed": {
                "speed_up": 2.462,
                "draft_length": 3,
                "cost_ratio": 1.5,
                "draft_cost": 0.125,
                "by_draft_length": [1.0, 1.455, 1.524, 2.462],
            },
        })
    );
    assert_eq!(lookup["categories"][1]["speed_up"], 1.0);
}

#[test]
fn guesses_are_counted_by_their_place() {
    let found = &fixed_report().set_ups[0].positions;
    let position = |position, proposed, accepted| Position { position, proposed, accepted };
    assert_eq!(found, &[position(1, 2, 1), position(2, 1, 1), position(3, 1, 1)]);
}

#[test]
fn what_the_costs_allow_stands_beside_what_was_reached() {
    let Allowed { speed_up, draft_length, cost_ratio, draft_cost, by_draft_length } =
        fixed_report().set_ups[0].figures.allowed.clone();
    // Drafting took 1 ms in five passes, a plain pass 4 ms.
    assert_eq!(draft_cost, 0.05);
    // Passes of 4, 2, 1, 1 and 1 rows cost 1.5, 1.25 and three times 1, and drafting 0.05 each.
    assert_eq!((draft_length, speed_up, cost_ratio), (3, rounded(8.0 / 6.0), 1.5));
    assert_eq!((by_draft_length.len(), by_draft_length[0]), (4, 1.0));
}

#[test]
fn passes_of_the_run_stand_beside_those_measured_apart() {
    let forward = serde_json::to_value(fixed_report()).expect("plain data")["forward"].clone();
    let one = json!({ "rows": 1, "median_ms": 4.0, "ratio": 1.0, "run_passes": 11, "run_median_ms": 4.0 });
    let four = json!({ "rows": 4, "median_ms": 6.0, "ratio": 1.5, "run_passes": 1, "run_median_ms": 9.0 });
    assert_eq!((&forward[0], &forward[2]), (&one, &four));
}
