//! Administration.

mod grant;
mod settings;
mod wait;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[
    &grant::GRANT,
    &settings::CONFIG,
    &settings::REBALANCE,
    &settings::RECONFIGURE,
    &settings::STATUS,
    &wait::WAIT,
];
