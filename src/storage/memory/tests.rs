//! Tests of the `memory` engine: the conformance tests, and the counted tree against `BTreeMap`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::MemoryEngine;
use super::tree::CountedTree;
use crate::storage::conformance;
use crate::testing::Random;

conformance::tests!(Arc::new(MemoryEngine::new()));

#[test]
fn the_counted_tree_keeps_its_rules_through_growth_and_shrinking() {
    let mut random = Random::from_environment();
    let mut tree = CountedTree::new();
    let mut model = BTreeMap::new();
    let mut kept = Vec::new();
    for step in 0..30_000_u32 {
        let key = Bytes::from(random.below(4_000).to_string());
        // Grows for 10,000 steps, then shrinks, then hovers.
        let insert = random.below(100) < [85, 20, 50][(step / 10_000) as usize];
        if insert {
            assert_eq!(tree.insert(key.clone(), step), model.insert(key, step));
        } else {
            assert_eq!(tree.remove(&key), model.remove(&key));
        }
        assert_eq!(tree.len(), model.len() as u64);
        if step % 3_000 == 0 {
            tree.check();
            kept.push((tree.clone(), model.clone()));
        }
    }
    tree.check();
    kept.push((tree, model));
    for (tree, model) in kept {
        let mut found = Vec::new();
        let _ = tree.visit_up(0, &mut |key, value| {
            found.push((key.clone(), *value));
            ControlFlow::Continue(())
        });
        assert_eq!(found, model.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn keys_in_order_leave_a_tree_in_order() {
    let mut tree = CountedTree::new();
    for key in 0..10_000_u32 {
        tree.insert(Bytes::copy_from_slice(&key.to_be_bytes()), key);
    }
    tree.check();
    for key in 0..10_000_u32 {
        assert_eq!(tree.remove(&key.to_be_bytes()), Some(key));
    }
    tree.check();
    assert_eq!(tree.len(), 0);
}
