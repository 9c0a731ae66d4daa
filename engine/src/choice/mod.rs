//! How much to draft, and from whom: what drafts are worth (`calibration`), what rows cost (`cost`), and the choice that
//! gives most tokens a second (`select`).
//!
//! A draft changes the time of a text and never the text, so everything here may be an estimate.

mod cost;
mod calibration;
mod merge;
mod path_record;
mod select;
mod levels;

pub(crate) use calibration::{Adjustment, Calibration};
pub use cost::{ContextTimes, CostModel, Load, MEASURED_ROWS};
pub(crate) use levels::{expected, levels};
pub(crate) use merge::Guesses;
pub(crate) use path_record::PathRecord;
pub(crate) use select::{Wanted, select};
