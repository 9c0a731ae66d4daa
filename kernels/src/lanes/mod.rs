//! Eight f32 at a time: the few operations that kernels are written in, once for all paths.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
pub(crate) use portable::Portable;

/// Numbers in one [`Lanes`].
pub(crate) const LANES: usize = 8;

/// Eight f32. Every operation works lane by lane, so a number's bits do not depend on its lane.
///
/// # Safety
/// The methods of an implementation may only be called where the processor has its instructions, inside a function
/// compiled for them.
pub(crate) trait Lanes: Copy {
    /// Eight times the same number.
    unsafe fn splat(value: f32) -> Self;
    /// The first eight numbers of a slice that has as many.
    unsafe fn load(values: &[f32]) -> Self;
    /// Writes to the first eight places of a slice that has as many.
    unsafe fn store(self, values: &mut [f32]);
    /// `self + a * b`, rounded as the path rounds: once with FMA, twice without.
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self;
    /// [`multiply_add`](Self::multiply_add) of single numbers, with the very same bits.
    unsafe fn multiply_add_one(sum: f32, a: f32, b: f32) -> f32;
}
