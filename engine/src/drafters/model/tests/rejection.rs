//! Drafts of another model, verified by rejection, against the target's own distribution.

use veridraft_models::TokenId;

use super::super::DraftModel;
use super::super::scripted::Scripted;
use crate::drafters::{DraftRequest, Drafter};
use crate::sampling::rejection::{Rejection, draw};
use crate::sampling::{History, NoiseKey, Sampler, SamplingConfig, Stream, uniform};
use crate::{Request, SequenceId, Verification};

#[test]
fn rejection_of_trees_of_another_model_keeps_the_targets_distribution() {
    let mut target = Scripted::new(4, 20);
    target.vocabulary = 5;
    target.spread = 3.0;
    let mut draft_model = target.clone();
    draft_model.seed = 18;
    let mut counts = [0.0_f64; 25];
    const DRAWS: u64 = 20_000;
    let mut drafter = DraftModel::new(Box::new(draft_model), 5);
    let mut accepted = 0;
    for id in 0..DRAWS {
        let mut request = Request { verification: Verification::Rejection, ..Request::new(vec![1, 2], 100) };
        request.sampling = SamplingConfig { temperature: 1.0, seed: id, ..Default::default() };
        drafter.begin(SequenceId(id), &request);
        drafter.extend(SequenceId(id), &[1, 2]);
        // The bound cuts some drafts and not others.
        let wanted = DraftRequest {
            max_children: 2,
            max_nodes: 4,
            least_probability: 0.2,
            ..DraftRequest::chain(SequenceId(id), 2)
        };
        let draft = drafter.propose(&[wanted]).unwrap().remove(0);
        drafter.release(SequenceId(id));
        let (mut tokens, mut parent, mut in_draft) = (vec![1, 2], None, true);
        for _ in 0..2 {
            let key = |stream| NoiseKey::new(id, 0, tokens.len() as u32, stream);
            let mut p = Vec::new();
            let history = History::new(&request.sampling);
            Sampler::new(request.sampling.clone()).unwrap().distribution(&target.scores(&tokens), &history, &mut p);
            let mut state = Rejection::new(p);
            let found = draft.children(parent).filter(|_| in_draft).find(|&node| {
                let node = &draft.nodes[node];
                let coin = uniform(key(Stream::Accept).hash(node.token));
                state.try_token(node.drawn_from.as_deref(), node.token, coin)
            });
            accepted += usize::from(found.is_some());
            tokens.push(
                found.map_or_else(|| draw(state.probabilities(), key(Stream::Residual)), |n| draft.nodes[n].token),
            );
            (parent, in_draft) = (found, found.is_some());
        }
        counts[(tokens[2] * 5 + tokens[3]) as usize] += 1.0;
    }
    assert!(accepted > DRAWS as usize / 2, "{accepted}");
    let softmax = |tokens: &[TokenId]| {
        let masses: Vec<f64> = target.scores(tokens).iter().map(|&score| f64::from(score).exp()).collect();
        let sum: f64 = masses.iter().sum();
        masses.into_iter().map(move |mass| mass / sum)
    };
    let first = softmax(&[1, 2]).enumerate();
    let both: Vec<f64> = first.flat_map(|(a, p)| softmax(&[1, 2, a as TokenId]).map(move |q| p * q)).collect();
    let chi_square: f64 =
        both.iter().zip(counts).map(|(p, count)| (count - p * DRAWS as f64).powi(2) / (p * DRAWS as f64)).sum();
    assert!((chi_square - 24.0) / 48_f64.sqrt() < 4.0, "{chi_square}");
}
