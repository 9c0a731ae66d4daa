//! `veridraft batch`: many requests from a file, answered in order, whatever happens on the way.

mod journal;
mod lock;
mod publish;
