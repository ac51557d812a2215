//! Math and logic.

mod arithmetic;
mod bits;
mod comparison;
mod logic;
mod random;
mod rounding;

use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] = &[
    &arithmetic::ADD,
    &arithmetic::SUB,
    &arithmetic::MUL,
    &arithmetic::DIV,
    &bits::BIT_AND,
    &bits::BIT_OR,
    &bits::BIT_XOR,
    &bits::BIT_NOT,
    &bits::BIT_SAL,
    &bits::BIT_SAR,
    &comparison::EQ,
    &comparison::NE,
    &comparison::LT,
    &comparison::LE,
    &comparison::GT,
    &comparison::GE,
    &logic::AND,
    &logic::OR,
    &logic::NOT,
    &random::RANDOM,
    &rounding::FLOOR,
    &rounding::CEIL,
    &rounding::ROUND,
    &rounding::MOD,
];
