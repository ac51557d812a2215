//! What must hold of any bytes that are read as a node: for the fuzz targets.
//! Must not know where bytes come from.

use bytes::Bytes;

use super::decode;
use super::encode::{
    InnerBuilder, LEAF_MAX, LeafBuilder, NODE_HEADER, Stored, encode_inner, encode_leaf,
};
use super::image::LeafImage;
use super::inner::Inner;
use super::link::Link;
use super::node::{Body, Leaf, Node, Value};
use crate::storage::ledger::Account;
use crate::storage::slab::Reference;

/// Reads bytes as a node. One that is read finds its keys, and its image is read as the same node.
pub fn check_node(data: &[u8]) -> Result<(), String> {
    let bytes = Bytes::copy_from_slice(data);
    let name = bytes.get(8..NODE_HEADER).and_then(|name| name.try_into().ok());
    let tree = name.map_or(0, u64::from_le_bytes);
    let Ok(node) = decode(&bytes, tree, None) else { return Ok(()) };
    if decode(&bytes, !tree, None).is_ok() || decode(&bytes, tree, Some(!node.level())).is_ok() {
        return Err("a node of another tree or level is taken".to_owned());
    }
    let image = match &node.body {
        Body::Image(image) => {
            check_leaf(image)?;
            encode_leaf(tree, &image.to_leaf(&Account::first(1)).entries)
        }
        Body::Inner(inner) => {
            check_inner(inner)?;
            let children: Option<Vec<_>> = inner.links().map(Link::reference).collect();
            encode_inner(tree, inner, &children.ok_or("a child without a place")?)
        }
        Body::Leaf(_) => return Err("a leaf that can be changed was decoded".to_owned()),
    };
    let Some(image) = image else {
        // Offsets have 16 bits, which a leaf that is no longer than it may be does not need.
        let is_long = data.len() > LEAF_MAX;
        return if is_long { Ok(()) } else { Err("it has no image".to_owned()) };
    };
    let again = decode(&image, tree, Some(node.level())).map_err(str::to_owned)?;
    if contents(&node) != contents(&again) {
        return Err("its image is of another node".to_owned());
    }
    Ok(())
}

/// Images of nodes of every kind.
pub fn node_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let reference = |grain| Reference { grain, length: 5_000, sum: grain * 77 };
    for (prefix, entries) in [("", 1), ("", 9), ("prefix of them all/", 30), ("p", 200)] {
        let (mut leaf, mut inner) = (LeafBuilder::new(), InnerBuilder::new());
        for number in 0..entries {
            let key = format!("{prefix}{number:03}");
            let key = key.get(..key.len() - number % 3 % prefix.len().max(1)).unwrap_or(&key);
            if leaf.last_key().is_some_and(|last| last >= key.as_bytes()) {
                continue;
            }
            match number % 7 {
                6 => leaf.push(key.as_bytes(), &Stored::Long(9_000, reference(number as u64))),
                _ => leaf.push(key.as_bytes(), &Stored::Short(&vec![b'v'; number % 5 * 3])),
            }
            inner.push(key.as_bytes(), 1 + number as u64, reference(300 + number as u64));
        }
        seeds.extend(leaf.finish(5).map(Vec::from));
        seeds.extend(inner.finish(5, 1).map(Vec::from));
    }
    seeds
}

fn check_leaf(image: &LeafImage) -> Result<(), String> {
    let Leaf { entries, .. } = image.to_leaf(&Account::first(1));
    if entries.len() != image.len() {
        return Err("an entry cannot be read".to_owned());
    }
    for (index, entry) in entries.iter().enumerate() {
        let behind = [&entry.key[..], &[0]].concat();
        let before = entry.key.split_last().map_or(&[][..], |(_, before)| before);
        for key in [&entry.key[..], &behind, before] {
            let expected = entries.binary_search_by(|entry| entry.key.as_ref().cmp(key));
            if image.position(key) != expected {
                return Err(format!("the key of entry {index} is not where it should be"));
            }
        }
    }
    Ok(())
}

fn check_inner(inner: &Inner) -> Result<(), String> {
    let lows: Vec<_> = (1..inner.len()).map(|at| inner.low(at)).collect();
    for low in &lows {
        let behind = [low, &[0][..]].concat();
        let before = low.split_last().map_or(&[][..], |(_, before)| before);
        for key in [low, &behind[..], before] {
            if inner.child_of(key) != lows.partition_point(|low| *low <= key) {
                return Err("a key leads to the wrong child".to_owned());
            }
        }
    }
    let counts = (0..inner.len()).map(|at| inner.child_count(at));
    if counts.sum::<u64>() != inner.count() {
        return Err("the counts of the children are not that of the node".to_owned());
    }
    Ok(())
}

/// What a node says: keys, what belongs to each, and where a part of it is that is elsewhere.
type Contents = Vec<(Vec<u8>, Vec<u8>, u64, Option<Reference>)>;

fn contents(node: &Node) -> Contents {
    match &node.body {
        Body::Inner(inner) => inner
            .links()
            .enumerate()
            .map(|(at, link)| {
                (inner.low(at).to_vec(), Vec::new(), inner.child_count(at), link.reference())
            })
            .collect(),
        Body::Image(image) => leaf_contents(&image.to_leaf(&Account::first(1))),
        Body::Leaf(leaf) => leaf_contents(leaf),
    }
}

fn leaf_contents(leaf: &Leaf) -> Contents {
    let entry = |key: &Bytes, value: &Value| match value {
        Value::Short(value) => (key.to_vec(), value.to_vec(), 0, None),
        Value::Long(long) => (key.to_vec(), Vec::new(), long.length(), long.reference()),
    };
    leaf.entries.iter().map(|of| entry(&of.key, &of.value)).collect()
}
