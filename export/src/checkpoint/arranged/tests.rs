//! Tensors arranged anew have the numbers that they should, row by row as well as whole.

use super::*;

/// One tensor `t` whose number in row r and column c is 10 r + c.
struct Counted(Vec<usize>);

impl Counted {
    fn row(&self, row: usize) -> Vec<f32> {
        (0..self.0.get(1).copied().unwrap_or(1)).map(|column| (10 * row + column) as f32).collect()
    }
}

impl TensorSource for Counted {
    fn path(&self) -> &Path {
        Path::new("counted")
    }

    fn names(&self) -> Vec<&str> {
        vec!["t"]
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        Some(self.0.clone())
    }

    fn format(&self, _: &str) -> Option<WeightFormat> {
        Some(WeightFormat::F32)
    }

    fn read_f32(&self, _: &str) -> Result<Vec<f32>> {
        Ok((0..self.0[0]).flat_map(|row| self.row(row)).collect())
    }

    fn read_rows(&self, _: &str, rows: Range<usize>) -> Result<Vec<WeightRow>> {
        assert!(rows.end <= self.0[0]);
        Ok(rows.map(|row| WeightRow::F32(self.row(row))).collect())
    }
}

fn arranged(shape: &[usize], arrangement: &Arrangement) -> Box<dyn TensorSource> {
    let arrange = |_: &str| vec![("new".to_owned(), arrangement.clone())];
    Arranged::by(Box::new(Counted(shape.to_vec())), arrange).expect("one tensor")
}

fn check(shape: &[usize], arrangement: &Arrangement, expected: &[&[f32]]) {
    let arranged = arranged(shape, arrangement);
    assert_eq!(arranged.names(), ["new"]);
    assert_eq!(arranged.shape("new"), Some(vec![expected.len(), expected[0].len()]));
    assert_eq!(arranged.read_f32("new").expect("it is there"), expected.concat());
    for start in 0..expected.len() {
        for end in start..=expected.len() {
            let rows = arranged.read_rows("new", start..end).expect("rows that are there");
            let rows: Vec<_> = rows.into_iter().map(|row| row.dequantize()).collect();
            assert_eq!(rows, expected[start..end], "rows {start} to {end}");
        }
    }
    assert!(arranged.read_rows("new", 0..expected.len() + 1).is_err());
}

#[test]
fn rows_and_columns_change_places() {
    check(&[2, 3], &Arrangement::Transposed, &[&[0.0, 10.0], &[1.0, 11.0], &[2.0, 12.0]]);
}

#[test]
fn rows_by_head_become_rows_by_kind() {
    let rows: [&[f32]; 12] =
        [&[0.0], &[10.0], &[60.0], &[70.0], &[20.0], &[30.0], &[80.0], &[90.0], &[40.0], &[50.0], &[100.0], &[110.0]];
    check(&[12, 1], &Arrangement::ByKind { heads: 2 }, &rows);
}

#[test]
fn some_rows_are_a_tensor_of_their_own() {
    check(&[4, 2], &Arrangement::Rows(0..2), &[&[0.0, 1.0], &[10.0, 11.0]]);
    check(&[4, 2], &Arrangement::Rows(3..usize::MAX), &[&[30.0, 31.0]]);
    assert_eq!(arranged(&[4, 2], &Arrangement::Rows(5..usize::MAX)).shape("new"), Some(vec![0, 2]));
}

#[test]
fn norms_are_what_numbers_are_multiplied_by() {
    let norms = arranged(&[3], &Arrangement::PlusOne);
    assert_eq!(norms.read_f32("new").expect("it is there"), [1.0, 11.0, 21.0]);
}

#[test]
fn names_lose_prefixes_and_masks() {
    let named = |found: Vec<(String, Arrangement)>| found.into_iter().next();
    let same = |name: &str| Some((name.to_owned(), Arrangement::Same));
    assert_eq!(named(gpt2("transformer.wte.weight")), same("wte.weight"));
    assert_eq!(named(gpt2("h.1.attn.c_attn.bias")), same("h.1.attn.c_attn.bias"));
    assert_eq!(
        named(gpt2("transformer.h.1.mlp.c_fc.weight")),
        Some(("h.1.mlp.c_fc.weight".to_owned(), Arrangement::Transposed))
    );
    assert_eq!(named(gpt2("h.1.attn.bias")), None);
    for name in ["model.norm.weight", "language_model.model.norm.weight", "model.language_model.norm.weight"] {
        assert_eq!(named(gemma(name)), Some(("model.norm.weight".to_owned(), Arrangement::PlusOne)), "{name}");
    }
    assert_eq!(named(gemma("language_model.lm_head.weight")), same("lm_head.weight"));
    assert_eq!(named(gemma("vision_tower.vision_model.post_layernorm.weight")), None);
    assert_eq!(named(gemma("model.multi_modal_projector.mm_input_projection_weight")), None);
}

#[test]
fn two_tensors_for_one_are_refused() {
    let both = |_: &str| ["new", "new"].map(|name| (name.to_owned(), Arrangement::Same)).to_vec();
    let error = Arranged::by(Box::new(Counted(vec![2])), both).err().expect("it should be refused").to_string();
    assert_eq!(error, "`counted`: tensors `t` and `t` stand for the same, expected one");
}
