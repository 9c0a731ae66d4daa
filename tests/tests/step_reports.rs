//! What a step says of the drafts it verified, against what it produced.

use veridraft_engine::{DraftedToken, EngineConfig, Outcome, Request, SamplingConfig, SequenceStep};
use veridraft_tests::{Company, ScriptedModel, Small, scripted_engine};

/// Steps of several texts at once, with trees out of many drafters.
fn steps() -> Vec<SequenceStep> {
    let half_right = Small { memory: 1, blocks: 40, fail_every: 0 };
    let company = [Company::Lookup, Company::Suffix, Company::Ngram, Company::Model(half_right)];
    let drafters = company.iter().map(Company::drafter).collect();
    let mut engine = scripted_engine(ScriptedModel::new(4, 200), drafters, EngineConfig::default());
    for seed in 0..8 {
        let sampling = SamplingConfig { temperature: 1.0, seed, ..SamplingConfig::default() };
        let request = Request { sampling, draft_min: 2, draft_max: 6, ..Request::new(vec![1, 2, 3, 4], 150) };
        engine.add(request).expect("accepted");
    }
    let mut steps = Vec::new();
    while engine.has_work() {
        steps.extend(engine.step().expect("nothing fails").sequences);
    }
    steps
}

/// Places of the accepted tokens of a draft.
fn accepted(draft: &[DraftedToken]) -> Vec<usize> {
    (0..draft.len()).filter(|&place| draft[place].is_accepted).collect()
}

#[test]
fn the_accepted_tokens_of_a_draft_are_a_path_and_the_first_of_the_output() {
    for step in steps() {
        let path = accepted(&step.draft);
        let tokens: Vec<_> = path.iter().map(|&place| step.draft[place].token).collect();
        assert_eq!(tokens, step.tokens[..step.accepted], "{step:?}");
        let parents: Vec<_> = path.iter().map(|&place| step.draft[place].parent).collect();
        let expected: Vec<_> = [None].into_iter().chain(path.iter().copied().map(Some)).take(path.len()).collect();
        assert_eq!(parents, expected, "{step:?}");
        // The token behind the path was no guess, or it would have been accepted.
        let bonus = step.tokens.get(step.accepted);
        let mut behind = step.draft.iter().filter(|drafted| drafted.parent == path.last().copied());
        assert!(behind.all(|drafted| Some(&drafted.token) != bonus), "{step:?}");
    }
}

#[test]
fn the_counts_of_a_step_are_those_of_its_draft() {
    let steps = steps();
    for step in &steps {
        assert!(step.draft.iter().enumerate().all(|(place, drafted)| drafted.parent < Some(place)), "{step:?}");
        assert_eq!((step.proposed, step.accepted), (step.draft.len(), accepted(&step.draft).len()));
        for (name, outcome) in &step.sources {
            let own: Vec<_> = step.draft.iter().copied().filter(|drafted| drafted.source == *name).collect();
            assert_eq!(*outcome, Outcome { proposed: own.len(), accepted: accepted(&own).len() });
        }
    }
    let has_branches = |step: &&SequenceStep| step.proposed > step.depth;
    assert!(steps.iter().filter(has_branches).any(|step| step.accepted > 1), "no tree was tried");
}
