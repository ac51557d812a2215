//! A commit as the log keeps it: the operations of a batch, one behind the other, or the adoption of a loaded tree. `docs/storage-format.md` has the bytes.
//! Knows batches; must not know groups, segments or files, nor what is in an adoption.

use bytes::Bytes;

use crate::limits::{STORAGE_KEY_BYTES, STORAGE_VALUE_BYTES};
use crate::storage::encoding::SharedReader;
use crate::storage::{Operation, TreeId};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CREATE_TREE: u8 = 3;
const DROP_TREE: u8 = 4;
const ADOPT: u8 = 5;

/// What a commit does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logged {
    /// The operations of a batch, in order.
    Batch(Vec<Operation>),
    /// An empty tree gets what a bulk load has put into the data file; the bytes say what and where.
    Adoption(TreeId, Bytes),
}

/// The operations of one batch, ready to be written. The lengths of keys and values were checked before.
pub fn encode(operations: &[Operation]) -> Bytes {
    let length = operations.iter().map(encoded_length).sum::<usize>();
    let mut bytes = Vec::with_capacity(8 + length);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(operations.len() as u32).to_le_bytes());
    for operation in operations {
        encode_operation(&mut bytes, operation);
    }
    let length = bytes.len() as u32 - 4;
    if let Some(head) = bytes.first_chunk_mut::<4>() {
        *head = length.to_le_bytes();
    }
    Bytes::from(bytes)
}

/// What [`encode`] was given, as parts of the record: they stay alive with it. `None` when it is not of a batch.
pub fn operations_of(record: &Bytes) -> Option<Vec<Operation>> {
    match decode(&mut SharedReader::new(record.clone()))? {
        Logged::Batch(operations) => Some(operations),
        Logged::Adoption(..) => None,
    }
}

/// An adoption, ready to be written.
pub fn encode_adoption(tree: TreeId, what: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(21 + what.len());
    bytes.extend_from_slice(&(17 + what.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.push(ADOPT);
    bytes.extend_from_slice(&tree.0.to_le_bytes());
    bytes.extend_from_slice(&(what.len() as u32).to_le_bytes());
    bytes.extend_from_slice(what);
    Bytes::from(bytes)
}

/// The next commit; `None` when the bytes are not those of one.
pub(super) fn decode(reader: &mut SharedReader) -> Option<Logged> {
    let length = reader.u32()? as usize;
    let mut body = SharedReader::new(reader.take(length)?);
    let count = body.u32()? as usize;
    if count == 1 && body.peek() == Some(ADOPT) {
        body.u8()?;
        let tree = TreeId(body.u64()?);
        let length = body.u32()? as usize;
        let what = body.take(length)?;
        return body.is_empty().then_some(Logged::Adoption(tree, what));
    }
    // An operation takes nine bytes at least; a count that says otherwise must not make room for it.
    let mut operations = Vec::with_capacity(count.min(length / 9));
    for _ in 0..count {
        operations.push(decode_operation(&mut body)?);
    }
    body.is_empty().then_some(Logged::Batch(operations))
}

fn encode_operation(bytes: &mut Vec<u8>, operation: &Operation) {
    let (kind, tree) = match operation {
        Operation::Put { tree, .. } => (PUT, tree),
        Operation::Delete { tree, .. } => (DELETE, tree),
        Operation::CreateTree(tree) => (CREATE_TREE, tree),
        Operation::DropTree(tree) => (DROP_TREE, tree),
    };
    bytes.push(kind);
    bytes.extend_from_slice(&tree.0.to_le_bytes());
    match operation {
        Operation::Put { key, value, .. } => {
            bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
        Operation::Delete { key, .. } => {
            bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
            bytes.extend_from_slice(key);
        }
        Operation::CreateTree(_) | Operation::DropTree(_) => {}
    }
}

fn decode_operation(body: &mut SharedReader) -> Option<Operation> {
    let kind = body.u8()?;
    let tree = TreeId(body.u64()?);
    Some(match kind {
        PUT => {
            let key = key_length(body)?;
            let value = body.u32()? as usize;
            let (key, value) = (body.take(key)?, body.take(value)?);
            Operation::Put {
                tree,
                key,
                value: (value.len() <= STORAGE_VALUE_BYTES).then_some(value)?,
            }
        }
        DELETE => {
            let key = key_length(body)?;
            Operation::Delete { tree, key: body.take(key)? }
        }
        CREATE_TREE => Operation::CreateTree(tree),
        DROP_TREE => Operation::DropTree(tree),
        _ => return None,
    })
}

/// A longer key than a batch may have could be put into a tree, and into no image of a node.
fn key_length(body: &mut SharedReader) -> Option<usize> {
    body.u16().map(usize::from).filter(|length| *length <= STORAGE_KEY_BYTES)
}

fn encoded_length(operation: &Operation) -> usize {
    let rest = match operation {
        Operation::Put { key, value, .. } => 2 + 4 + key.len() + value.len(),
        Operation::Delete { key, .. } => 2 + key.len(),
        Operation::CreateTree(_) | Operation::DropTree(_) => 0,
    };
    1 + 8 + rest
}

/// All commits of a group's body; `None` when it does not hold exactly so many.
pub(super) fn decode_all(body: Bytes, count: u32) -> Option<Vec<Logged>> {
    let mut reader = SharedReader::new(body);
    let mut commits = Vec::new();
    for _ in 0..count {
        commits.push(decode(&mut reader)?);
    }
    reader.is_empty().then_some(commits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_longer_than_any_tree_may_have_is_no_commit() {
        for (length, is_one) in [(STORAGE_KEY_BYTES, true), (STORAGE_KEY_BYTES + 1, false)] {
            let (tree, key) = (TreeId(1), Bytes::from(vec![1; length]));
            let put = Operation::Put { tree, key: key.clone(), value: Bytes::new() };
            for operation in [put, Operation::Delete { tree, key }] {
                assert_eq!(operations_of(&encode(&[operation])).is_some(), is_one, "{length}");
            }
        }
    }

    #[test]
    fn a_commit_comes_back_as_it_was() {
        let tree = TreeId(77);
        let operations = vec![
            Operation::CreateTree(tree),
            Operation::Put { tree, key: Bytes::from("key"), value: Bytes::from("value") },
            Operation::Put { tree, key: Bytes::new(), value: Bytes::from(vec![7; 100_000]) },
            Operation::Delete { tree: TreeId(u64::MAX), key: Bytes::from("gone") },
            Operation::DropTree(tree),
        ];
        let record = encode(&operations);
        assert_eq!(record.len(), 8 + operations.iter().map(encoded_length).sum::<usize>());
        assert_eq!(operations_of(&record).as_ref(), Some(&operations));
        assert_eq!(operations_of(&encode_adoption(tree, b"something")), None);
        let mut body = record.to_vec();
        body.extend(encode(&[]));
        body.extend(encode_adoption(tree, b"something"));
        let commits = decode_all(Bytes::from(body.clone()), 3).unwrap();
        let adoption = Logged::Adoption(tree, Bytes::from("something"));
        assert_eq!(commits, [Logged::Batch(operations), Logged::Batch(vec![]), adoption]);
        assert!(decode_all(Bytes::from(body.clone()), 2).is_none(), "bytes are left");
        assert!(decode_all(Bytes::from(body.clone()), 4).is_none(), "bytes are missing");
        for length in 0..200 {
            let cut = Bytes::from(body[..length].to_vec());
            assert!(decode_all(cut, 3).is_none());
        }
    }
}
