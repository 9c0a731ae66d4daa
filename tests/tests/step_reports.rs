//! What a step says of the drafts it verified, against what it produced.

use veridraft_engine::constraint::{Constraint, Ending, TokenSet};
use veridraft_engine::{
    DraftedToken, EngineConfig, Error, FinishReason, Outcome, Request, SamplingConfig, SequenceStep,
};
use veridraft_models::TokenId;
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

/// Allows any token so many times and then fails.
#[derive(Clone, Debug)]
struct Failing(usize);

impl Constraint for Failing {
    fn allowed(&mut self) -> veridraft_engine::Result<TokenSet> {
        if self.0 == 0 {
            return Err(Error::Vocabulary("the grammar is too complex".to_owned()));
        }
        Ok(TokenSet::of(0..12))
    }

    fn push(&mut self, _token: TokenId) -> veridraft_engine::Result<()> {
        self.0 -= 1;
        Ok(())
    }

    fn ending(&mut self) -> veridraft_engine::Result<Ending> {
        Ok(Ending::No)
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

#[test]
fn a_constraint_that_fails_ends_its_own_sequence_and_says_why_in_its_step() {
    let mut engine = scripted_engine(ScriptedModel::new(4, 200), Vec::new(), EngineConfig::default());
    let request = |constraint: Option<Failing>| Request {
        constraint: constraint.map(|constraint| Box::new(constraint) as Box<dyn Constraint>),
        ..Request::new(vec![1, 2, 3], 9)
    };
    let ids = [None, Some(Failing(2)), Some(Failing(5))].map(|failing| engine.add(request(failing)).expect("accepted"));
    let mut failed = Vec::new();
    while engine.has_work() {
        let report = engine.step().expect("nothing fails as a whole");
        assert_eq!(report.failures, [""; 0]);
        for step in &report.sequences {
            assert_eq!(step.failure.is_some(), step.finish == Some(FinishReason::Failed));
            failed.extend(step.failure.as_ref().map(|reason| (step.sequence, reason.clone())));
        }
        let lines: Vec<_> = report.all_failures().collect();
        let expected = report.sequences.iter().filter(|step| step.failure.is_some());
        let expected: Vec<_> =
            expected.map(|step| format!("sequence {}: {}", step.sequence.0, failed.last().expect("one").1)).collect();
        assert_eq!(lines, expected);
    }
    let reason = Error::Vocabulary("the grammar is too complex".to_owned()).to_string();
    assert_eq!(failed, [(ids[1], reason.clone()), (ids[2], reason)]);
    let lengths = ids.map(|id| engine.remove(id).expect("it was added").token_ids.len());
    assert_eq!(lengths, [9, 2, 5]);
}
