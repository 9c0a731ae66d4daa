//! Laws of attention against a naive f64 model and against itself in other company.

mod case;
mod strategies;
mod naive;
mod definition;
mod company;
mod paths;
mod errors;

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
